//! `fetch`: from surviving ids to vectors in the K and V buffers; so far the read side of a port and a cycle model of the
//! whole. `README.md` describes it.

mod admission;
mod assembly;
mod bitwidth_converter;
mod channel;
mod channel_queue;
mod class_scan;
mod distributor;
mod fetch_path;
mod fill_crossbar;
mod fill_port;
mod format;
pub mod model;
mod placement;
pub mod read_master;
mod read_request;
mod rtl;
mod slots;
mod tag;
mod token_list;

pub use admission::Admission;
pub use assembly::Assembly;
pub use bitwidth_converter::BitwidthConverter;
pub use channel::channel_of;
pub use channel_queue::ChannelQueue;
pub use class_scan::ClassScan;
pub use distributor::Distributor;
pub use fetch_path::FetchPath;
pub use fill_crossbar::FillCrossbar;
pub use fill_port::FillPort;
pub use format::VectorFormat;
pub use placement::Placement;
pub use read_master::{ReadFault, ReadMaster};
pub use read_request::ReadRequest;
pub use rtl::{Class, FORMAT_BITS, Fetch, LSB_BITS};
pub use tag::VectorTag;
pub use token_list::TokenList;
