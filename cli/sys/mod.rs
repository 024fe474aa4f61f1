//! What the allocator and the kernel offer to C alone.

mod allocator;
mod code;

pub use allocator::give_memory_back;
pub use code::give_code_back;
