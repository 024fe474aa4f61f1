//! The allocator's spare memory.
#![allow(unsafe_code)]

/// Gives what was freed back to the system: what a translation needs for a moment is several times
/// what changes from day to day, and the allocator alone would keep most of it.
pub fn give_back() {
    // SAFETY: it takes no pointer; the allocator may be called from any thread, at any time.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
