//! What the allocator offers to C alone; why it is here: docs/decisions/0008-memory-given-back.md.
#![allow(unsafe_code)]

/// Gives the calling thread's spare memory, and that of threads that ended, back to the system.
pub fn give_memory_back() {
    // SAFETY: it takes no pointer, and may be called from any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
