//! Addresses and their announcement: who gets which address, which node answers for it, and the
//! ARP and NDP frames that say so.
//!
//! ```text
//! model ──► allocate ──► plan (advertisements + elect) ──► Vec<Announcement> ──► Speaker
//!           pure          pure                              desired state         one thread:
//!                                                                                 announce (pure)
//!                                                                                 link (I/O)
//! ```
//!
//! * [`allocate`] gives Services of type LoadBalancer their addresses, by MetalLB's rules;
//! * [`elect`] says which node answers for an address;
//! * [`members`] says which nodes are alive;
//! * [`mod@plan`] turns allocations and L2Advertisements into what this node announces;
//! * [`announce`] decides frame by frame and second by second, without a socket or a clock;
//! * [`link`] is sockets, interfaces and the addresses on `gatehouse0`;
//! * [`speaker`] is the thread that ties the last two together.
//!
//! Everything but `link` and `speaker` is pure and is tested without privileges.

pub mod allocate;
pub mod announce;
pub mod elect;
pub mod link;
pub mod members;
pub mod plan;
pub mod speaker;

pub use allocate::{Allocation, Allocator, Beside, Change, Decision, Outcome};
pub use announce::custody::Former;
pub use link::heartbeats::{Members, MembersSettings, Peers};
pub use plan::{Announcement, Interfaces, Others, Plan, Trust, plan, plan_among};
pub use speaker::{
    AddressState, AnnouncedOn, InterfaceState, Speaker, SpeakerSettings, SpeakerState, Stations,
};
