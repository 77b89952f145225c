//! `fetch`: from surviving ids to vectors in the K and V buffers; so far the read side of a port and a cycle model of the
//! whole. `README.md` describes it.

mod bitwidth_converter;
mod channel;
mod fill_crossbar;
mod fill_slot;
mod format;
pub mod model;
mod placement;
pub mod read_master;
mod rtl;

pub use bitwidth_converter::BitwidthConverter;
pub use channel::channel_of;
pub use fill_crossbar::{FillCrossbar, fill_names};
pub use fill_slot::FillSlot;
pub use format::VectorFormat;
pub use placement::Placement;
pub use read_master::{ReadFault, ReadMaster};
pub use rtl::{Class, FORMAT_BITS, Fetch, LSB_BITS};
