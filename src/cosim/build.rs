//! From Verilog to a loadable simulation: Verilator, one C++ file, one shared object, cached.
//!
//! Verilator's library is compiled once per flavour (with or without tracing, optimised or not) into an object that every design
//! links, and its headers are precompiled: most of a small design's build was reading them (1.4 s against 0.4 s).
//! A design is one translation unit; functions are split to bound the compiler's time on large ones.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{CosimError, Design, Direction, Simulator, cache};
use crate::tools;

const RUNTIME_HEADER: &str = include_str!("cpp/runtime.h");
const RUNTIME_SOURCE: &str = include_str!("cpp/runtime.cpp");
const MODEL_SOURCE: &str = include_str!("cpp/model.cpp");

/// Unknown values become random ones, of a seed given when the simulation starts, so that a design which reads
/// a register or memory word before writing it does not pass by luck. Measured: no cost per cycle.
const VERILATOR_FLAGS: &[&str] = &[
    "--cc",
    "-Wall",
    "-O3",
    "--no-timing",
    "--x-assign",
    "unique",
    "--x-initial",
    "unique",
    "--timescale",
    "1ns/100ps",
    "--output-split-cfuncs",
    "1000",
    "--prefix",
    "Model",
    "--Mdir",
    "model",
    "-f",
    "sources.f",
];

/// The same for the precompiled header and for everything that includes it: GCC does not check that they agree.
const COMPILER_FLAGS: &[&str] = &[
    "-std=c++17",
    "-fPIC",
    "-pthread",
    "-w",
    "-faligned-new",
    "-fcf-protection=none",
    "-ffunction-sections",
    "-fvisibility=hidden",
    "-fno-gnu-unique",
    "-DVM_COVERAGE=0",
    "-DVM_SC=0",
    "-DVM_TRACE_VCD=0",
];

/// Whether a build can write waveforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// No waveforms; full speed.
    Off,
    /// FST waveforms on request, at a fraction of the speed; a build of its own.
    Fst,
}

/// The tools that build simulations, and the folder that keeps them.
#[derive(Clone, Debug)]
pub struct Verilator {
    /// Verilator's program, found through the PATH when it has no folder.
    pub program: PathBuf,
    /// The C++ compiler (GCC's command line).
    pub compiler: PathBuf,
    /// Folder of finished builds; made when missing. Nothing in it is ever deleted, and all of it may be.
    pub cache: PathBuf,
}

impl Default for Verilator {
    /// `verilator` and `g++` from the PATH. Builds are kept in the folder that `SPATTEN_CACHE` names, else in the
    /// package's `target/cosim-cache` when Cargo runs the program, else in the user's cache folder.
    fn default() -> Self {
        Self {
            program: "verilator".into(),
            compiler: "g++".into(),
            cache: cache::default_folder(),
        }
    }
}

/// A built simulation of one design; any number of simulators start from it.
#[derive(Clone, Debug)]
pub struct Build {
    pub(super) library: PathBuf,
    pub(super) design: Arc<Design>,
    pub(super) tracing: Tracing,
    cached: bool,
}

impl Verilator {
    /// Builds `design`, or finds it built in the cache. Verilator's warnings (`-Wall`) are errors.
    ///
    /// # Errors
    /// [`CosimError`]: the design contradicts its port list, a tool is missing or fails, or the cache is not
    /// writable. Nothing is left in the cache by a failed build.
    pub fn build(&self, design: &Design, tracing: Tracing) -> Result<Build, CosimError> {
        design.check()?;
        let toolchain = Toolchain::find(self, tracing, design.brief)?;
        let runtime = toolchain.runtime()?;
        let ports = port_lines(design);
        let mut key = toolchain.hasher();
        feed(&mut key, VERILATOR_FLAGS);
        feed(&mut key, &[MODEL_SOURCE, &ports, &design.top]);
        for port in &design.ports {
            feed(&mut key, &[&port.name, &port.width.to_string()]);
        }
        for source in &design.sources {
            feed(&mut key, &[&source.file, &source.text]);
        }
        let name = format!("{}-{}.so", design.top, digest(key));
        let (library, cached) = cache::entry(&self.cache, &name, |folder| {
            toolchain.verilate(design, folder)?;
            toolchain.compile(design, &ports, &runtime, folder)
        })?;
        Ok(Build {
            library,
            design: Arc::new(design.clone()),
            tracing,
            cached,
        })
    }
}

impl Build {
    /// Starts a simulation whose registers and memories hold random bits of `seed` until they are written.
    ///
    /// # Errors
    /// [`CosimError`]: the build cannot be loaded, or the design stops before its first cycle.
    pub fn start(&self, seed: u64) -> Result<Simulator, CosimError> {
        Simulator::new(self, seed, None)
    }

    /// Starts a simulation that writes its waveforms to `trace`; the file is complete when the simulator drops.
    ///
    /// # Errors
    /// [`CosimError`]: as [`Build::start`], or the file is not writable.
    ///
    /// # Panics
    /// When the build was made with [`Tracing::Off`].
    pub fn start_traced(&self, seed: u64, trace: &Path) -> Result<Simulator, CosimError> {
        assert_eq!(
            self.tracing,
            Tracing::Fst,
            "a build without tracing cannot write `{}`",
            trace.display()
        );
        Simulator::new(self, seed, Some(trace))
    }

    /// Whether the build was found in the cache.
    pub fn was_cached(&self) -> bool {
        self.cached
    }

    /// The shared object.
    pub fn library(&self) -> &Path {
        &self.library
    }
}

/// The tools of one flavour, with the versions that the cache keys hold.
struct Toolchain<'a> {
    paths: &'a Verilator,
    tracing: Tracing,
    optimisation: &'static str,
    versions: [String; 2],
    include: PathBuf,
}

impl<'a> Toolchain<'a> {
    fn find(paths: &'a Verilator, tracing: Tracing, brief: bool) -> Result<Self, CosimError> {
        let versions = [
            tools::ask(&paths.program, &["--version"])?,
            tools::ask(&paths.compiler, &["--version"])?,
        ];
        let root = tools::ask(&paths.program, &["--getenv", "VERILATOR_ROOT"])?;
        Ok(Self {
            paths,
            tracing,
            // Measured on a small stage: 1.0 s against 2.9 s, for a simulation that is a few times slower.
            optimisation: if brief { "-O0" } else { "-O2" },
            versions,
            include: Path::new(&root).join("include"),
        })
    }

    /// A hash of everything that all builds of this flavour share.
    fn hasher(&self) -> Sha256 {
        let mut key = Sha256::new();
        feed(&mut key, &self.versions);
        feed(&mut key, COMPILER_FLAGS);
        feed(&mut key, &[self.optimisation]);
        feed(&mut key, self.trace_defines());
        feed(&mut key, &[RUNTIME_HEADER, RUNTIME_SOURCE]);
        key
    }

    fn trace_defines(&self) -> &'static [&'static str] {
        match self.tracing {
            Tracing::Off => &["-DVM_TRACE=0", "-DVM_TRACE_FST=0"],
            Tracing::Fst => &["-DVM_TRACE=1", "-DVM_TRACE_FST=1"],
        }
    }

    /// The folder with Verilator's library, compiled, and its precompiled headers.
    fn runtime(&self) -> Result<PathBuf, CosimError> {
        let name = format!("runtime-{}", digest(self.hasher()));
        let (folder, _) = cache::entry(&self.paths.cache, &name, |scratch| {
            let folder = scratch.join("runtime");
            fs::create_dir(&folder).map_err(cache::fault(&folder))?;
            write(&folder.join("runtime.h"), RUNTIME_HEADER)?;
            write(&folder.join("runtime.cpp"), RUNTIME_SOURCE)?;
            let header = ["-x", "c++-header", "runtime.h", "-o", "runtime.h.gch"];
            tools::run(self.compiler(&folder).args(header))?;
            let mut parts = vec!["verilated.cpp", "verilated_threads.cpp"];
            if self.tracing == Tracing::Fst {
                parts.push("verilated_fst_c.cpp");
            }
            let includes: String = parts
                .iter()
                .map(|part| format!("#include \"{part}\"\n"))
                .collect();
            write(
                &folder.join("library.cpp"),
                &format!("#include \"runtime.cpp\"\n{includes}"),
            )?;
            // None of it runs in every cycle.
            let object = ["-O1", "-c", "library.cpp", "-o", "library.o"];
            tools::run(self.compiler(&folder).args(object))?;
            Ok(folder)
        })?;
        Ok(folder)
    }

    /// The compiler with its flags, working in `folder`.
    fn compiler(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.paths.compiler);
        command
            .current_dir(folder)
            .args(COMPILER_FLAGS)
            .arg(self.optimisation)
            .args(self.trace_defines())
            .args([
                include_flag(&self.include),
                include_flag(&self.include.join("vltstd")),
            ]);
        command
    }

    /// Turns the design's Verilog into C++ in `folder/model`.
    fn verilate(&self, design: &Design, folder: &Path) -> Result<(), CosimError> {
        let mut list = String::new();
        for source in &design.sources {
            write(&folder.join(&source.file), &source.text)?;
            let _ = writeln!(list, "{}", source.file);
        }
        write(&folder.join("sources.f"), &list)?;
        let mut command = Command::new(&self.paths.program);
        command
            .current_dir(folder)
            .args(VERILATOR_FLAGS)
            .args(["--top-module", &design.top]);
        if self.tracing == Tracing::Fst {
            command.arg("--trace-fst");
        }
        tools::run(&mut command)?;
        let header = folder.join("model/Model.h");
        let header = fs::read_to_string(&header).map_err(cache::fault(&header))?;
        check_ports(design, &header)
    }

    /// Compiles the generated C++ of `folder/model` with the calls around it, and links it.
    fn compile(
        &self,
        design: &Design,
        ports: &str,
        runtime: &Path,
        folder: &Path,
    ) -> Result<PathBuf, CosimError> {
        let model = folder.join("model");
        let mut unit = String::from(MODEL_SOURCE);
        for file in generated_sources(&model)? {
            let _ = writeln!(unit, "#include \"{file}\"");
        }
        write(&model.join("ports.inc"), ports)?;
        write(&model.join("unit.cpp"), &unit)?;
        let mut command = self.compiler(&model);
        for (define, port) in [("SPATTEN_CLOCK", "clk_i"), ("SPATTEN_RESET", "rst_ni")] {
            let present = u8::from(design.port(port).is_some());
            command.arg(format!("-D{define}={present}"));
        }
        command
            .arg(include_flag(runtime))
            .args(["-include", "runtime.h", "-I.", "unit.cpp"]);
        command.arg(runtime.join("library.o"));
        command.args([
            "-shared",
            "-Wl,--gc-sections",
            "-Wl,-Bsymbolic",
            "-o",
            "model.so",
        ]);
        if self.tracing == Tracing::Fst {
            command.arg("-lz");
        }
        tools::run(&mut command)?;
        Ok(model.join("model.so"))
    }
}

/// One line per port for `cpp/model.cpp`.
fn port_lines(design: &Design) -> String {
    let mut lines = String::new();
    for port in &design.ports {
        let direction = match port.direction {
            Direction::In => "INPUT",
            Direction::Out => "OUTPUT",
        };
        let _ = writeln!(lines, "{direction}({})", port.name);
    }
    lines
}

/// Holds the port list against the `VL_IN8(&name,msb,lsb)` lines of Verilator's header: pointers into the model
/// are typed by the widths of the list.
fn check_ports(design: &Design, header: &str) -> Result<(), CosimError> {
    let fault = |reason: String| {
        Err(CosimError::Design {
            top: design.top.clone(),
            reason,
        })
    };
    let verilated: Vec<(Direction, &str, &str)> = header.lines().filter_map(header_port).collect();
    for port in &design.ports {
        let range = format!("{},0", port.width - 1);
        let Some((direction, _, found)) = verilated.iter().find(|(_, name, _)| *name == port.name)
        else {
            return fault(format!("the Verilog has no port `{}`", port.name));
        };
        if *direction != port.direction
            || !(*found == range || found.starts_with(&format!("{range},")))
        {
            return fault(format!(
                "port `{}` is {:?} of {} bits in the port list but {direction:?} with range [{found}] in the Verilog",
                port.name, port.direction, port.width
            ));
        }
    }
    match verilated
        .iter()
        .find(|(_, name, _)| design.port(name).is_none())
    {
        Some((_, name, _)) => fault(format!(
            "the Verilog's port `{name}` is not in the port list"
        )),
        None => Ok(()),
    }
}

/// Direction, name and `msb,lsb[,words]` of one port line of Verilator's header.
fn header_port(line: &str) -> Option<(Direction, &str, &str)> {
    let line = line.trim();
    let direction = match line {
        _ if line.starts_with("VL_IN") && !line.starts_with("VL_INOUT") => Direction::In,
        _ if line.starts_with("VL_OUT") => Direction::Out,
        _ => return None,
    };
    let (_, arguments) = line.strip_suffix(");")?.split_once("(&")?;
    let (name, range) = arguments.split_once(',')?;
    Some((direction, name, range))
}

/// The C++ files that Verilator wrote, in a fixed order.
fn generated_sources(folder: &Path) -> Result<Vec<String>, CosimError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cache::fault(folder))? {
        let name = entry
            .map_err(cache::fault(folder))?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".cpp") {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

fn include_flag(folder: &Path) -> OsString {
    let mut flag = OsString::from("-I");
    flag.push(folder);
    flag
}

fn write(path: &Path, text: &str) -> Result<(), CosimError> {
    fs::write(path, text).map_err(cache::fault(path))
}

/// Adds a list of texts to a hash, with all lengths, so that moving a byte from one to the next changes the hash.
fn feed(hash: &mut Sha256, texts: &[impl AsRef<str>]) {
    hash.update((texts.len() as u64).to_le_bytes());
    for text in texts {
        hash.update((text.as_ref().len() as u64).to_le_bytes());
        hash.update(text.as_ref());
    }
}

fn digest(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
