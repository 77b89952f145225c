//! The hardware description layer: Rust structs describe blocks, elaboration checks them, one printer emits
//! Verilog-2005 and one evaluator computes the same expressions.
//!
//! A block implements [`Block`]; its `build` receives a [`Builder`] and describes ports, nets, registers and
//! children. [`Sig`] is a `Copy` handle with the usual operators. Widths and signedness are exact: `+` and `-` grow by
//! one bit, `*` to the sum of the widths, everything else needs equal types, and a mistake panics with the Rust line
//! that made it.
//!
//! ```
//! use spatten::hdl::{About, Block, Builder, elaborate, verilog};
//! use spatten::{net, reg};
//!
//! #[derive(Debug)]
//! struct Accumulator {
//!     width: usize,
//! }
//!
//! impl Block for Accumulator {
//!     fn name(&self) -> String {
//!         format!("example_accumulator_w{}", self.width)
//!     }
//!
//!     fn about(&self) -> About {
//!         About {
//!             purpose: "Adds its input at every enabled edge.".into(),
//!             parameters: vec![("width", self.width.to_string())],
//!             source: file!(),
//!         }
//!     }
//!
//!     fn build(&self, m: &Builder) {
//!         let enable = m.input("enable", 1, "add in this cycle");
//!         let term = m.input("term", self.width, "term, unsigned");
//!         let sum = m.output("sum", self.width, "sum modulo 2^width");
//!         reg!(m, sum_q: self.width, reset = 0);
//!         net!(m, grown = sum_q.wrapping_add(term));
//!         sum_q.next_when(enable, grown);
//!         sum.drive(sum_q);
//!     }
//! }
//!
//! let module = elaborate(&Accumulator { width: 8 });
//! assert!(verilog(&module, "An example.").contains("if (enable_i) sum_q <= grown;"));
//! ```

mod block;
mod builder;
mod check;
mod eval;
mod expr;
mod handle;
mod instance;
mod lanes;
mod memory;
mod module;
mod names;
mod print;
pub mod rust_hdl;
mod sig;
mod stream;
mod types;
mod value;

pub use block::{Block, Library, elaborate};
pub use builder::Builder;
pub use eval::Evaluator;
pub use expr::{Binary, Compare, Expr, ExprId, GenvarId, Op, Reduce, Shift, SignalId};
pub use handle::{Reg, Wire};
pub use instance::Instance;
pub use lanes::{LaneIndex, Lanes};
pub use module::{About, Direction, Genvar, Item, Module, Signal, SignalKind, Update};
pub use names::{is_identifier, is_keyword};
pub use print::verilog;
pub use sig::Sig;
pub use stream::{Field, Stream, StreamOut};
pub use types::{Place, Ty};

/// Names a net after the Rust variable that holds it: `net!(m, take = valid & room)`, optionally with a comment.
#[macro_export]
macro_rules! net {
    ($m:expr, $name:ident = $value:expr) => {
        let $name = $m.net(stringify!($name), $value, "");
    };
    ($m:expr, $name:ident = $value:expr, $doc:expr) => {
        let $name = $m.net(stringify!($name), $value, $doc);
    };
}

/// Names a register after the Rust variable that holds it.
///
/// - `reg!(m, full_q: 1, reset = 0)`: its next value follows with `next` or `next_when`;
/// - `reg!(m, data_q: width)`: the same without reset;
/// - `reg!(m, data_q = value)`: takes `value` at every edge, typed like it;
/// - `reg!(m, data_q = value, when = enable)`: only where `enable` is one;
/// - `reg!(m, valid_q = value, reset = 0)`: every edge, with reset.
///
/// A comment may follow last.
#[macro_export]
macro_rules! reg {
    ($m:expr, $name:ident : $ty:expr, reset = $reset:expr $(, $doc:literal)?) => {
        let $name = $m.register(stringify!($name), $ty, Some($reset), concat!($($doc)?));
    };
    ($m:expr, $name:ident : $ty:expr $(, $doc:literal)?) => {
        let $name = $m.register(stringify!($name), $ty, None, concat!($($doc)?));
    };
    ($m:expr, $name:ident = $value:expr, reset = $reset:expr $(, $doc:literal)?) => {
        let value = $crate::hdl::Sig::from($value);
        let $name = $m.register(stringify!($name), value.ty(), Some($reset), concat!($($doc)?));
        $name.next(value);
    };
    ($m:expr, $name:ident = $value:expr, when = $enable:expr $(, $doc:literal)?) => {
        let value = $crate::hdl::Sig::from($value);
        let $name = $m.register(stringify!($name), value.ty(), None, concat!($($doc)?));
        $name.next_when($enable, value);
    };
    ($m:expr, $name:ident = $value:expr $(, $doc:literal)?) => {
        let value = $crate::hdl::Sig::from($value);
        let $name = $m.register(stringify!($name), value.ty(), None, concat!($($doc)?));
        $name.next(value);
    };
}
