//! The output file of `attend`: what it holds, and that it is whole, repeatable or absent.

use safetensors::{Dtype, SafeTensors};
use spatten::workload::attention_output::AttentionOutput;
use spatten::workload::tensors::Tensor;

fn output() -> AttentionOutput {
    AttentionOutput {
        out: Tensor::new([1, 2, 1, 2], vec![0.25, -1.5, 3.0, 0.0]),
        token_importance: Some(vec![vec![0.5, 1.5, 2.5]]),
        head_importance: Some(vec![vec![7.0, 8.0]]),
        kept_tokens: Some(vec![vec![true, false, true]]),
        kept_heads: Some(vec![vec![false, true]]),
    }
}

#[test]
fn output_file_holds_every_tensor_with_its_shape_and_dtype() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    output().write(&path).unwrap();

    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let expected: [(&str, Dtype, &[usize], Vec<u8>); 5] = [
        (
            "out",
            Dtype::F32,
            &[1, 2, 1, 2],
            floats(&[0.25, -1.5, 3.0, 0.0]),
        ),
        (
            "token_importance",
            Dtype::F32,
            &[1, 3],
            floats(&[0.5, 1.5, 2.5]),
        ),
        ("head_importance", Dtype::F32, &[1, 2], floats(&[7.0, 8.0])),
        ("kept_tokens", Dtype::U8, &[1, 3], vec![1, 0, 1]),
        ("kept_heads", Dtype::U8, &[1, 2], vec![0, 1]),
    ];
    assert_eq!(file.len(), expected.len());
    for (name, dtype, shape, data) in expected {
        let tensor = file.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (dtype, shape), "{name}");
        assert_eq!(tensor.data(), data, "{name}");
    }
}

#[test]
fn output_that_was_not_computed_is_not_written() {
    let only_out = AttentionOutput {
        token_importance: None,
        head_importance: None,
        kept_tokens: None,
        kept_heads: None,
        ..output()
    };
    let bytes = only_out.to_bytes();
    assert_eq!(SafeTensors::deserialize(&bytes).unwrap().names(), ["out"]);
}

#[test]
fn equal_outputs_give_equal_bytes() {
    let first = output().to_bytes();
    for _ in 0..20 {
        assert_eq!(output().to_bytes(), first);
    }
}

#[test]
fn unwritable_output_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let error = output()
        .write(folder.path())
        .expect_err("a folder is refused");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
