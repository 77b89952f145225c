//! Blocks: Rust structs that elaborate into modules.

use super::builder::Builder;
use super::module::{About, Module};
use super::names;
use super::types::mistake;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// A parameterised piece of hardware.
///
/// The `Debug` text must show every parameter: it is how two blocks are told apart.
pub trait Block: fmt::Debug {
    /// Verilog module name, `spatten_<block>_<parameters>`; equal names must mean equal text.
    fn name(&self) -> String;

    /// What the banner says.
    fn about(&self) -> About;

    /// Describes ports and contents.
    fn build(&self, m: &Builder);
}

/// Modules elaborated so far, so that a child shared by many parents is built once.
#[derive(Default)]
pub struct Library {
    modules: RefCell<HashMap<String, (String, Arc<Module>)>>,
    /// Names of the blocks being built, the outermost first.
    building: RefCell<Vec<String>>,
}

impl Library {
    /// Elaborates `block`, or returns the module it already became.
    ///
    /// # Panics
    /// When the description has a mistake, or two different blocks share one module name.
    #[track_caller]
    pub fn elaborate(self: &Rc<Self>, block: &dyn Block) -> Arc<Module> {
        let name = block.name();
        let shown = format!("{block:?}");
        if let Some((first, module)) = self.modules.borrow().get(&name) {
            if *first != shown {
                mistake(format!("two blocks are called {name}: {first} and {shown}"));
            }
            return module.clone();
        }
        if !names::is_identifier(&name) {
            mistake(format!("`{name}` is no Verilog module name"));
        }
        if self.building.borrow().contains(&name) {
            mistake(format!("{name} contains itself"));
        }
        self.building.borrow_mut().push(name.clone());
        let builder = Builder::new(self.clone());
        block.build(&builder);
        self.building.borrow_mut().pop();
        let module = Arc::new(builder.finish(name.clone(), block.about()));
        self.modules
            .borrow_mut()
            .insert(name, (shown, module.clone()));
        module
    }
}

/// Elaborates one block and everything below it.
///
/// # Panics
/// When the description has a mistake.
#[track_caller]
pub fn elaborate(block: &dyn Block) -> Arc<Module> {
    Rc::new(Library::default()).elaborate(block)
}
