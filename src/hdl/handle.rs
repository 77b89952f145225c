//! Handles to what is driven after its declaration: nets, output ports and registers.

use super::expr::{Op, SignalId};
use super::lanes::LaneIndex;
use super::sig::Sig;
use std::ops::{Add, BitAnd, BitOr, BitXor, Deref, Mul, Not, Sub};

/// A net declared before it is driven, or an output port.
#[derive(Clone, Copy)]
pub struct Wire<'m>(pub(super) Sig<'m>);

/// A register.
#[derive(Clone, Copy)]
pub struct Reg<'m>(pub(super) Sig<'m>);

impl<'m> Wire<'m> {
    /// Gives the net its value; exactly once.
    #[track_caller]
    pub fn drive(self, value: impl Into<Sig<'m>>) {
        self.0.m.drive(self.signal_id(), value.into());
    }

    /// Gives one lane of the net its value inside a generate loop; the loop must fill the net.
    #[track_caller]
    pub fn drive_lane(self, index: LaneIndex<'m>, value: impl Into<Sig<'m>>) {
        self.0.m.drive_lane(self.signal_id(), index, value.into());
    }
}

impl<'m> Reg<'m> {
    /// The value taken at every clock edge; exactly once.
    #[track_caller]
    pub fn next(self, value: impl Into<Sig<'m>>) {
        self.0.m.set_next(self.signal_id(), None, value.into());
    }

    /// The value taken at clock edges where `enable` is one; exactly once.
    #[track_caller]
    pub fn next_when(self, enable: impl Into<Sig<'m>>, value: impl Into<Sig<'m>>) {
        let enable = Some(enable.into());
        self.0.m.set_next(self.signal_id(), enable, value.into());
    }
}

macro_rules! handle {
    ($handle:ident) => {
        impl<'m> $handle<'m> {
            pub(super) fn signal_id(self) -> SignalId {
                match self.0.m.op(self.0.id) {
                    Op::Signal(id) => id,
                    _ => unreachable!("handles are made from named signals"),
                }
            }
        }

        impl<'m> Deref for $handle<'m> {
            type Target = Sig<'m>;

            fn deref(&self) -> &Sig<'m> {
                &self.0
            }
        }

        impl<'m> From<$handle<'m>> for Sig<'m> {
            fn from(handle: $handle<'m>) -> Sig<'m> {
                handle.0
            }
        }

        handle!($handle: Add add, Sub sub, Mul mul, BitAnd bitand, BitOr bitor, BitXor bitxor);

        impl<'m> Not for $handle<'m> {
            type Output = Sig<'m>;

            fn not(self) -> Sig<'m> {
                !self.0
            }
        }
    };
    ($handle:ident: $($trait:ident $method:ident),*) => {$(
        impl<'m, R: Into<Sig<'m>>> $trait<R> for $handle<'m> {
            type Output = Sig<'m>;

            #[track_caller]
            fn $method(self, other: R) -> Sig<'m> {
                self.0.$method(other)
            }
        }
    )*};
}

handle!(Wire);
handle!(Reg);
