//! Files of attention tensors: what is accepted, and a clear message for everything that is not.

use std::collections::HashMap;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use spatten::workload::tensors::AttentionTensors;

/// A tensor file to be; [`TensorFile::valid`] is accepted, and each test spoils one thing.
pub(crate) struct TensorFile {
    tensors: Vec<(&'static str, Dtype, Vec<usize>, Vec<u8>)>,
    metadata: HashMap<String, String>,
}

impl TensorFile {
    /// Two layers of 4 heads and 2 KV heads, 3 queries, 5 keys, d = 2, causal, with `ctx`.
    pub(crate) fn valid() -> TensorFile {
        let mut file = TensorFile {
            tensors: Vec::new(),
            metadata: HashMap::from([("tokens".to_owned(), "a b c".to_owned())]),
        };
        file.set("q", &[2, 4, 3, 2]);
        file.set("k", &[2, 2, 5, 2]);
        file.set("v", &[2, 2, 5, 2]);
        file.set("ctx", &[2, 4, 3, 2]);
        file.causal("true");
        file
    }

    pub(crate) fn set(&mut self, name: &'static str, shape: &[usize]) {
        let count = shape.iter().product::<usize>();
        let data: Vec<f32> = (0..count).map(|i| i as f32 - 7.5).collect();
        self.set_data(name, shape, &data);
    }

    pub(crate) fn set_data(&mut self, name: &'static str, shape: &[usize], data: &[f32]) {
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.remove(name);
        self.tensors.push((name, Dtype::F32, shape.to_vec(), bytes));
    }

    /// Keeps as many elements of a type of two bytes as there were of four.
    pub(crate) fn halve(&mut self, name: &str, dtype: Dtype) {
        let tensor = self
            .tensors
            .iter_mut()
            .find(|tensor| tensor.0 == name)
            .unwrap();
        tensor.1 = dtype;
        tensor.3.truncate(tensor.3.len() / 2);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.tensors.retain(|tensor| tensor.0 != name);
    }

    pub(crate) fn causal(&mut self, value: &str) {
        self.metadata.insert("causal".to_owned(), value.to_owned());
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            (
                *name,
                TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
            )
        });
        safetensors::serialize(views, Some(self.metadata.clone())).unwrap()
    }
}

/// The message for a file of these bytes, which must be refused and name the file.
fn refusal(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.safetensors");
    std::fs::write(&path, bytes).unwrap();
    refusal_of_path(&path)
}

fn refusal_of_path(path: &Path) -> String {
    let message = AttentionTensors::read(path, None)
        .expect_err("the file is refused")
        .to_string();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    message
}

/// Fails unless the message holds every one of `parts`.
#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn valid_file_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.safetensors");
    std::fs::write(&path, TensorFile::valid().bytes()).unwrap();
    let tensors = AttentionTensors::read(&path, None).unwrap();

    assert!(tensors.causal());
    assert_eq!(
        (
            tensors.layer_count(),
            tensors.head_count(),
            tensors.kv_head_count()
        ),
        (2, 4, 2)
    );
    assert_eq!(
        (
            tensors.query_count(),
            tensors.key_count(),
            tensors.head_dim()
        ),
        (3, 5, 2)
    );
    assert_eq!(tensors.queries().shape(), [2, 4, 3, 2]);
    assert_eq!(tensors.context(), Some(tensors.queries()));
    // Layer 1, KV head 1 starts after the 30 elements of three heads of 5 x 2.
    let last = tensors.keys().head(1, 1);
    assert_eq!(last[0], [22.5, 23.5]);
    assert_eq!(last[4], [30.5, 31.5]);
}

#[test]
fn context_is_optional_and_other_tensors_are_passed_over() {
    let mut file = TensorFile::valid();
    file.remove("ctx");
    file.tensors
        .push(("extra", Dtype::U8, vec![3], vec![1, 2, 3]));
    let tensors = AttentionTensors::from_bytes(&file.bytes(), None).unwrap();
    assert_eq!(tensors.context(), None);
}

#[test]
fn override_stands_above_the_files_causal() {
    let mut file = TensorFile::valid();
    for metadata in [Some("true"), Some("perhaps"), None] {
        file.metadata.remove("causal");
        if let Some(value) = metadata {
            file.causal(value);
        }
        for causal in [false, true] {
            let tensors = AttentionTensors::from_bytes(&file.bytes(), Some(causal)).unwrap();
            assert_eq!(tensors.causal(), causal, "metadata {metadata:?}");
        }
    }
}

#[test]
fn missing_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let message = refusal_of_path(&folder.path().join("none.safetensors"));
    assert_says(&message, &["no such file"]);
}

#[test]
fn folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_says(&refusal_of_path(folder.path()), &["is a folder"]);
}

#[test]
fn device_is_refused_without_reading_it() {
    let message = refusal_of_path(Path::new("/dev/zero"));
    assert_says(&message, &["not a regular file"]);
}

#[test]
fn file_too_short_for_a_header_length_is_refused() {
    assert_says(&refusal(b"abc"), &["only 3 bytes", "8-byte"]);
    assert_says(&refusal(b""), &["only 0 bytes"]);
}

#[test]
fn header_longer_than_the_file_is_refused() {
    let mut bytes = TensorFile::valid().bytes();
    let rest = (bytes.len() - 8).to_string();
    bytes[..8].copy_from_slice(&1_000_000_u64.to_le_bytes());
    assert_says(&refusal(&bytes), &["1000000 bytes", &rest, "truncated"]);
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_says(&refusal(&bytes), &["18446744073709551615 bytes"]);
}

#[test]
fn truncated_data_is_refused() {
    let bytes = TensorFile::valid().bytes();
    assert_says(
        &refusal(&bytes[..bytes.len() - 6]),
        &["truncated", "describes 704 bytes", "only 698 follow"],
    );
}

#[test]
fn data_beyond_the_header_is_refused() {
    let mut bytes = TensorFile::valid().bytes();
    bytes.push(0);
    assert_says(&refusal(&bytes), &["describes 704 bytes", "705 follow"]);
}

#[test]
fn file_of_another_format_is_refused() {
    let text = b"iteration_id,layer_id,head_id,embedding_length_D\n0,0,0,64\n";
    assert_says(&refusal(text), &["not a safetensors file"]);

    let mut bytes = 4_u64.to_le_bytes().to_vec();
    bytes.extend(b"[1]  data");
    assert_says(&refusal(&bytes), &["no valid safetensors header"]);
}

#[test]
fn header_whose_sizes_overflow_is_refused() {
    let size = (1_u64 << 61) - 1;
    let entries: Vec<String> = (0..8)
        .map(|i| {
            let (start, end) = (i * size, (i + 1) * size);
            format!(r#""t{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    assert_says(&refusal(&bytes), &["truncated", "only 0 follow"]);

    let header =
        format!(r#"{{"q":{{"dtype":"F32","shape":[{size},{size},1,1],"data_offsets":[0,0]}}}}"#);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    assert_says(&refusal(&bytes), &["no valid safetensors header"]);
}

#[test]
fn missing_tensor_is_named_with_those_found() {
    for name in ["q", "k", "v"] {
        let mut file = TensorFile::valid();
        file.remove(name);
        let others: Vec<&str> = ["ctx", "k", "q", "v"]
            .into_iter()
            .filter(|&other| other != name)
            .collect();
        let found = format!("`{}`", others.join("`, `"));
        assert_says(
            &refusal(&file.bytes()),
            &[&format!("no tensor `{name}`"), &found],
        );
    }
    let mut empty = TensorFile::valid();
    empty.tensors.clear();
    assert_says(&refusal(&empty.bytes()), &["no tensors at all"]);
}

#[test]
fn other_dtype_is_refused() {
    for name in ["q", "k", "v", "ctx"] {
        let mut file = TensorFile::valid();
        file.halve(name, Dtype::F16);
        assert_says(
            &refusal(&file.bytes()),
            &[&format!("`{name}`"), "F16", "must be F32"],
        );
    }
}

#[test]
fn other_number_of_axes_is_refused() {
    let mut file = TensorFile::valid();
    file.set("q", &[4, 3, 2]);
    assert_says(
        &refusal(&file.bytes()),
        &["`q`", "[4, 3, 2]", "layers, heads, queries"],
    );
    let mut file = TensorFile::valid();
    file.set("v", &[1, 2, 2, 5, 2]);
    assert_says(
        &refusal(&file.bytes()),
        &["`v`", "[1, 2, 2, 5, 2]", "layers, KV heads, keys"],
    );
}

#[test]
fn empty_axis_is_refused() {
    let shapes: [(&'static str, [usize; 4], &str); 4] = [
        ("q", [0, 4, 3, 2], "zero layers"),
        ("k", [2, 0, 5, 2], "zero KV heads"),
        ("v", [2, 2, 0, 2], "zero keys"),
        ("ctx", [2, 4, 3, 0], "zero elements"),
    ];
    for (name, shape, axis) in shapes {
        let mut file = TensorFile::valid();
        file.set(name, &shape);
        assert_says(&refusal(&file.bytes()), &[&format!("`{name}`"), axis]);
    }
}

#[test]
fn disagreeing_shapes_are_refused() {
    let shapes: [(&'static str, [usize; 4], [&str; 3]); 7] = [
        (
            "k",
            [3, 2, 5, 2],
            ["`k` has 3 layers", "`q` has 2", "equal"],
        ),
        (
            "k",
            [2, 2, 5, 6],
            ["`k` has 6 elements", "`q` has 2", "equal"],
        ),
        (
            "v",
            [1, 2, 5, 2],
            ["`v` has 1 layers", "`k` has 2", "equal"],
        ),
        (
            "v",
            [2, 4, 5, 2],
            ["`v` has 4 KV heads", "`k` has 2", "equal"],
        ),
        ("v", [2, 2, 6, 2], ["`v` has 6 keys", "`k` has 5", "equal"]),
        (
            "v",
            [2, 2, 5, 3],
            ["`v` has 3 elements", "`k` has 2", "equal"],
        ),
        (
            "ctx",
            [2, 4, 5, 2],
            ["`ctx` has 5 queries", "`q` has 3", "equal"],
        ),
    ];
    for (name, shape, parts) in shapes {
        let mut file = TensorFile::valid();
        file.set(name, &shape);
        assert_says(&refusal(&file.bytes()), &parts);
    }
}

#[test]
fn kv_heads_that_do_not_divide_the_heads_are_refused() {
    for kv_heads in [3, 8] {
        let mut file = TensorFile::valid();
        file.set("k", &[2, kv_heads, 5, 2]);
        file.set("v", &[2, kv_heads, 5, 2]);
        assert_says(
            &refusal(&file.bytes()),
            &[&format!("{kv_heads} KV heads"), "4 heads", "multiple"],
        );
    }
}

#[test]
fn element_that_is_not_finite_is_named() {
    let shapes: [(&'static str, [usize; 4], &str); 4] = [
        ("q", [2, 4, 3, 2], "[layer 1, head 2, query 1, element 0]"),
        ("k", [2, 2, 5, 2], "[layer 1, head 1, key 4, element 1]"),
        ("v", [2, 2, 5, 2], "[layer 0, head 0, key 0, element 0]"),
        ("ctx", [2, 4, 3, 2], "[layer 0, head 3, query 2, element 1]"),
    ];
    let positions = [38, 39, 0, 23];
    let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for (((name, shape, index), position), value) in shapes.into_iter().zip(positions).zip(values) {
        let mut file = TensorFile::valid();
        let mut data = vec![0.5; shape.iter().product()];
        data[position] = value;
        file.set_data(name, &shape, &data);
        assert_says(
            &refusal(&file.bytes()),
            &[&format!("`{name}` holds {value}"), index, "finite"],
        );
    }
}

#[test]
fn causal_that_is_neither_true_nor_false_is_refused() {
    for value in ["True", "1", ""] {
        let mut file = TensorFile::valid();
        file.causal(value);
        assert_says(
            &refusal(&file.bytes()),
            &[
                &format!("`causal` is `{value}`"),
                "`true` or `false`",
                "--causal",
            ],
        );
    }
}

#[test]
fn missing_causal_is_refused() {
    let mut file = TensorFile::valid();
    file.metadata.clear();
    assert_says(
        &refusal(&file.bytes()),
        &["no metadata `causal`", "--causal"],
    );
}

#[test]
fn causal_attention_with_more_queries_than_keys_is_refused() {
    let mut file = TensorFile::valid();
    file.remove("ctx");
    file.set("q", &[2, 4, 6, 2]);
    assert_says(&refusal(&file.bytes()), &["6 queries", "5 keys"]);
    assert!(AttentionTensors::from_bytes(&file.bytes(), Some(false)).is_ok());
}

#[test]
fn every_truncation_is_refused() {
    let bytes = TensorFile::valid().bytes();
    for length in 0..bytes.len() {
        let read = AttentionTensors::from_bytes(&bytes[..length], None);
        assert!(read.is_err(), "the first {length} bytes are accepted");
    }
}

#[test]
fn damaged_bytes_never_panic() {
    const SEED: u64 = 1;
    let valid = TensorFile::valid().bytes();
    let header = 8 + u64::from_le_bytes(valid[..8].try_into().unwrap()) as usize;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut refused = 0;
    for case in 0..50_000 {
        let mut bytes = valid.clone();
        // Most damage goes to the header, where it has consequences.
        let end = if case % 4 == 0 { bytes.len() } else { header };
        for _ in 0..random.random_range(1..4) {
            let position = random.random_range(0..end);
            bytes[position] = match random.random_range(0..3) {
                0 => bytes[position] ^ (1 << random.random_range(0..8)),
                1 => b"0123456789[]{},:\""[random.random_range(0..17)],
                _ => random.random(),
            };
        }
        let read = std::panic::catch_unwind(|| AttentionTensors::from_bytes(&bytes, None).is_err());
        refused += usize::from(read.unwrap_or_else(|_| panic!("seed {SEED}, case {case}")));
    }
    assert!(
        refused > 30_000,
        "only {refused} damaged files were refused"
    );
}
