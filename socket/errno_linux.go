package socket

import "syscall"

// errNoNet is what a host without a network says.
const errNoNet = syscall.ENONET
