//! Word arrays: memories with a registered read port and register files.

use super::builder::Builder;
use super::expr::SignalId;
use super::module::{Item, SignalKind};
use super::sig::Sig;
use super::types::{Ty, mistake};

impl Builder {
    /// Word array with one write port and one registered read port; contents undefined until written.
    ///
    /// The read word appears one cycle after `read_enable` and stays until the next read.
    #[track_caller]
    pub fn memory<'m>(
        &'m self,
        name: &str,
        depth: usize,
        write: (Sig<'m>, Sig<'m>, Sig<'m>),
        read: (Sig<'m>, Sig<'m>),
    ) -> Sig<'m> {
        let (write_enable, write_address, write_data) = write;
        let (read_enable, read_address) = read;
        let memory = self.word_array(name, depth, write_data.ty(), [write_address, read_address]);
        let register = self.register(&format!("{name}_read_q"), write_data.ty(), None, "");
        let read_register = register.signal_id();
        self.state
            .borrow_mut()
            .driven
            .extend([memory, read_register]);
        self.push(Item::Memory {
            memory,
            write_enable: write_enable.id,
            write_address: write_address.id,
            write_data: write_data.id,
            read_enable: read_enable.id,
            read_address: read_address.id,
            read_register,
        });
        *register
    }

    /// Word array of flip-flops with one write port and one read port; contents undefined until written.
    ///
    /// The net returned carries the word at the read address in the same cycle, before a write at the next edge. For
    /// a few words only: a deep array is a [`memory`](Self::memory).
    #[track_caller]
    pub fn register_file<'m>(
        &'m self,
        name: &str,
        depth: usize,
        write: (Sig<'m>, Sig<'m>, Sig<'m>),
        read_address: Sig<'m>,
    ) -> Sig<'m> {
        let (write_enable, write_address, write_data) = write;
        let memory = self.word_array(name, depth, write_data.ty(), [write_address, read_address]);
        let kind = SignalKind::Net;
        let read_data = self.declare(&format!("{name}_read"), write_data.ty(), kind, "");
        self.state.borrow_mut().driven.extend([memory, read_data]);
        self.push(Item::RegisterFile {
            memory,
            write_enable: write_enable.id,
            write_address: write_address.id,
            write_data: write_data.id,
            read_address: read_address.id,
            read_data,
        });
        self.signal(read_data)
    }

    #[track_caller]
    fn word_array(&self, name: &str, depth: usize, word: Ty, addresses: [Sig<'_>; 2]) -> SignalId {
        let address_bits = crate::numerics::index_bits(depth);
        for address in addresses {
            if address.width() != address_bits {
                mistake(format!(
                    "memory {name} of {depth} words needs u{address_bits} addresses, got {}",
                    address.ty()
                ));
            }
        }
        let memory = self.declare(name, word, SignalKind::Memory { depth }, "");
        self.push(Item::Declare(memory));
        self.state.borrow_mut().clocked = true;
        memory
    }
}
