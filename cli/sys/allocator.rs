//! The allocator: jemalloc where pages are always of 4 kB, else mimalloc. Why, and why two:
//! docs/decisions/0008-memory-given-back.md.
#![allow(unsafe_code)]

#[cfg(all(feature = "jemalloc", target_arch = "x86_64"))]
pub use jemalloc::give_memory_back;
#[cfg(not(all(feature = "jemalloc", target_arch = "x86_64")))]
pub use mimalloc::give_memory_back;

#[cfg(all(feature = "jemalloc", target_arch = "x86_64"))]
mod jemalloc {
    use std::ptr;

    use tikv_jemalloc_sys::mallctl;
    use tikv_jemallocator::Jemalloc;

    #[global_allocator]
    static ALLOCATOR: Jemalloc = Jemalloc;

    /// One arena: a configuration is made by one thread and let go of by another, and what one arena
    /// for each CPU keeps of it is worth megabytes. Small pieces come from stores of each thread,
    /// without a lock. No huge pages: a configuration is made of small pieces, which they only round up.
    const OPTIONS: &[u8] = b"narenas:1,thp:never\0";

    /// Where jemalloc looks for its options when the process starts: a pointer to text that ends with
    /// a zero byte.
    // SAFETY: nothing else has this name, and jemalloc knows it as a constant pointer to such text.
    #[unsafe(export_name = "_rjem_malloc_conf")]
    pub static CONFIGURATION: &u8 = &OPTIONS[0];

    /// Gives the calling thread's spare memory, and that of the store of all threads, back to the
    /// system.
    pub fn give_memory_back() {
        // All arenas at once have the number 4096 (MALLCTL_ARENAS_ALL).
        for command in [c"thread.tcache.flush", c"arena.4096.purge"] {
            let (old, length, new) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            // SAFETY: the name ends with a zero byte, and these two commands neither take nor give a
            // value; they may be called from any thread at any time.
            let error = unsafe { mallctl(command.as_ptr(), old, length, new, 0) };
            if error != 0 {
                tracing::debug!(?command, error, "memory is not given back");
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// What a command of jemalloc's that gives a number gives.
        fn number(command: &std::ffi::CStr) -> u32 {
            let mut value = 0_u32;
            let mut length = size_of::<u32>();
            let old = ptr::from_mut(&mut value).cast();
            // SAFETY: the command gives 4 bytes, there is room for them, and it takes nothing.
            let error = unsafe { mallctl(command.as_ptr(), old, &mut length, ptr::null_mut(), 0) };
            assert_eq!((error, length), (0, 4), "{command:?}");
            value
        }

        #[test]
        fn the_options_are_found() {
            assert_eq!(number(c"opt.narenas"), 1);
        }
    }
}

#[cfg(not(all(feature = "jemalloc", target_arch = "x86_64")))]
mod mimalloc {
    use mimalloc::MiMalloc;

    #[global_allocator]
    static ALLOCATOR: MiMalloc = MiMalloc;

    /// Gives the calling thread's spare memory, and that of threads that ended, back to the system.
    pub fn give_memory_back() {
        // SAFETY: it takes no pointer, and may be called from any thread at any time.
        unsafe { libmimalloc_sys::mi_collect(true) }
    }
}
