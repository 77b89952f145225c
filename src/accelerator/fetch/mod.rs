//! `fetch`: from surviving ids to vectors in the K and V buffers; so far the read side of a port and a cycle model of the
//! whole. `README.md` describes it.

mod format;
pub mod model;
mod placement;
pub mod read_master;
mod rtl;

pub use format::VectorFormat;
pub use placement::Placement;
pub use read_master::{ReadFault, ReadMaster};
pub use rtl::{Class, Fetch};
