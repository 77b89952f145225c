//! The only unsafe code of the crate: calls into a built simulation, and its ports' memory.
//!
//! Everything here rests on what `build.rs` ensures: the shared object was made from `cpp/model.cpp`, and the port
//! list agrees with the Verilog, so that each port's storage has the type that its width implies.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;

use libloading::Library;

use super::{CosimError, Design};

type Handle = *mut c_void;
type Create = unsafe extern "C" fn(u32, *const c_char) -> Handle;
type Destroy = unsafe extern "C" fn(Handle);
type PortData = unsafe extern "C" fn(Handle, u32) -> *mut c_void;
type Step = unsafe extern "C" fn(Handle) -> c_int;
type Message = unsafe extern "C" fn(Handle) -> *const c_char;

/// Where Verilator keeps a port: the smallest of its types that holds the width; unused high bits are zero.
#[derive(Clone, Copy)]
enum Storage {
    /// 1 to 8 bits.
    Byte(NonNull<u8>),
    /// 9 to 16 bits.
    Half(NonNull<u16>),
    /// 17 to 32 bits.
    Word(NonNull<u32>),
    /// 33 to 64 bits.
    Double(NonNull<u64>),
    /// More: this many 32-bit words, least significant first.
    Wide(NonNull<u32>, usize),
}

/// A running simulation.
pub(super) struct Model {
    handle: Handle,
    ports: Box<[Storage]>,
    step: Step,
    settle: Step,
    message: Message,
    destroy: Destroy,
    /// Keeps the code mapped; last, so that it is unloaded after everything else is gone.
    _library: Library,
}

// SAFETY: the simulation belongs to this value alone, and no call of it depends on the thread that makes it: what
// it prints is collected per thread, which at worst loses text.
unsafe impl Send for Model {}

impl Model {
    /// Loads `library` and starts a simulation in it.
    ///
    /// # Errors
    /// [`CosimError::Load`] when the file cannot be loaded or is not one of our builds. A design that stopped while
    /// starting is not an error here: it has a message and no ports.
    pub(super) fn start(
        library: &Path,
        design: &Design,
        seed: u32,
        trace: Option<&CStr>,
    ) -> Result<Self, CosimError> {
        let fault = |error: libloading::Error| CosimError::Load {
            path: library.to_owned(),
            reason: error.to_string(),
        };
        // SAFETY: the file is a build of ours, whose initialisers only set up C++ statics. The symbols have the
        // types that `cpp/model.cpp` gives them.
        let (code, create, port_data, step, settle, message, destroy) = unsafe {
            let code = Library::new(library).map_err(fault)?;
            let create = *code.get::<Create>(c"spatten_create").map_err(fault)?;
            let port_data = *code.get::<PortData>(c"spatten_port").map_err(fault)?;
            let step = *code.get::<Step>(c"spatten_tick").map_err(fault)?;
            let settle = *code.get::<Step>(c"spatten_settle").map_err(fault)?;
            let message = *code.get::<Message>(c"spatten_message").map_err(fault)?;
            let destroy = *code.get::<Destroy>(c"spatten_destroy").map_err(fault)?;
            (code, create, port_data, step, settle, message, destroy)
        };
        // SAFETY: the trace path is null or a string that outlives the call.
        let handle = unsafe { create(seed, trace.map_or(std::ptr::null(), CStr::as_ptr)) };
        let mut model = Self {
            handle,
            ports: Box::default(),
            step,
            settle,
            message,
            destroy,
            _library: code,
        };
        if model.message().is_empty() {
            let mut ports = Vec::with_capacity(design.ports.len());
            for (index, port) in design.ports.iter().enumerate() {
                // SAFETY: the handle is live; an index past the end gives null.
                let data = NonNull::new(unsafe { port_data(handle, index as u32) });
                ports.push(Storage::new(
                    data.ok_or_else(|| CosimError::Load {
                        path: library.to_owned(),
                        reason: format!("it has no port `{}`", port.name),
                    })?,
                    port.width,
                ));
            }
            model.ports = ports.into();
        }
        Ok(model)
    }

    /// One clock cycle: rising edge, then falling edge. False when the design stopped.
    #[inline]
    pub(super) fn tick(&mut self) -> bool {
        // SAFETY: the handle is live, and `&mut self` excludes other calls.
        unsafe { (self.step)(self.handle) == 0 }
    }

    /// Evaluates without a clock edge. False when the design stopped.
    #[inline]
    pub(super) fn settle(&mut self) -> bool {
        // SAFETY: as in `tick`.
        unsafe { (self.settle)(self.handle) == 0 }
    }

    /// Why the design stopped; empty while it runs.
    pub(super) fn message(&self) -> String {
        // SAFETY: the handle is live, and the string is valid until it is destroyed.
        unsafe { CStr::from_ptr((self.message)(self.handle)) }
            .to_string_lossy()
            .trim()
            .to_owned()
    }

    /// A port of at most 64 bits, or the lowest 64 of a wider one.
    #[inline]
    pub(super) fn read(&self, port: usize) -> u64 {
        // SAFETY: port memory lives as long as the handle, is aligned and initialised, and is written only by
        // calls that take `&mut self`.
        unsafe {
            match self.ports[port] {
                Storage::Byte(data) => data.read().into(),
                Storage::Half(data) => data.read().into(),
                Storage::Word(data) => data.read().into(),
                Storage::Double(data) => data.read(),
                Storage::Wide(data, _) => {
                    u64::from(data.read()) | u64::from(data.add(1).read()) << 32
                }
            }
        }
    }

    /// Writes `value`, which fits the port; the upper bits of a wide one become zero.
    #[inline]
    pub(super) fn write(&mut self, port: usize, value: u64) {
        // SAFETY: as in `read`, and `&mut self` excludes readers. A wide port has at least three words.
        unsafe {
            match self.ports[port] {
                Storage::Byte(data) => data.write(value as u8),
                Storage::Half(data) => data.write(value as u16),
                Storage::Word(data) => data.write(value as u32),
                Storage::Double(data) => data.write(value),
                Storage::Wide(data, words) => {
                    data.write_bytes(0, words);
                    data.write(value as u32);
                    data.add(1).write((value >> 32) as u32);
                }
            }
        }
    }

    /// The words of a port wider than 64 bits, least significant first; `None` for a narrow one.
    #[inline]
    pub(super) fn words(&self, port: usize) -> Option<&[u32]> {
        match self.ports[port] {
            // SAFETY: as in `read`; the words lie in one array.
            Storage::Wide(data, words) => {
                Some(unsafe { std::slice::from_raw_parts(data.as_ptr(), words) })
            }
            _ => None,
        }
    }

    /// The same, to be written; bits above the port's width must stay zero.
    #[inline]
    pub(super) fn words_mut(&mut self, port: usize) -> Option<&mut [u32]> {
        match self.ports[port] {
            // SAFETY: as in `words`; ports do not overlap, and `&mut self` excludes other access.
            Storage::Wide(data, words) => {
                Some(unsafe { std::slice::from_raw_parts_mut(data.as_ptr(), words) })
            }
            _ => None,
        }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the handle is live, and nothing uses it afterwards.
        unsafe { (self.destroy)(self.handle) }
    }
}

impl Storage {
    fn new(data: NonNull<c_void>, width: u32) -> Self {
        match width {
            0..=8 => Self::Byte(data.cast()),
            9..=16 => Self::Half(data.cast()),
            17..=32 => Self::Word(data.cast()),
            33..=64 => Self::Double(data.cast()),
            _ => Self::Wide(data.cast(), width.div_ceil(32) as usize),
        }
    }
}

/// A path as C takes it; `None` when it holds a NUL byte.
pub(super) fn c_path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).ok()
}
