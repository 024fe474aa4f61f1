//! End-to-end tests: the harness that builds a virtual LAN and starts the real binary in it.
