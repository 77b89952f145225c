//! Delay lines: what travels beside a pipeline, as many registers late as the pipeline is long.

use crate::hdl::{Builder, Sig};

/// Longest delay line, in bits, that is described as one shift register; wider ones are chains of registers.
const SHIFT_REGISTER_BITS: usize = 128;

/// `value` as it was `cycles` clock edges ago, through registers without reset; `value` itself when `cycles` is 0.
///
/// The registers are `<name>_q`, or `<name>_1_q`, `<name>_2_q` and so on where they form a chain.
#[track_caller]
pub fn delay<'m>(m: &'m Builder, name: &str, value: impl Into<Sig<'m>>, cycles: usize) -> Sig<'m> {
    let value = value.into();
    if cycles > 1 && cycles * value.width() > SHIFT_REGISTER_BITS {
        return chain(m, name, value, cycles);
    }
    let late = shift_register(m, name, value.as_unsigned(), cycles, None);
    if value.ty().signed {
        late.as_signed()
    } else {
        late
    }
}

/// As [`delay`] for a flag, through registers that reset to zero.
#[track_caller]
pub fn delay_flag<'m>(
    m: &'m Builder,
    name: &str,
    flag: impl Into<Sig<'m>>,
    cycles: usize,
) -> Sig<'m> {
    shift_register(m, name, flag.into(), cycles, Some(0))
}

/// One register of `cycles` places; words enter at the low end.
#[track_caller]
fn shift_register<'m>(
    m: &'m Builder,
    name: &str,
    value: Sig<'m>,
    cycles: usize,
    reset: Option<u64>,
) -> Sig<'m> {
    if cycles == 0 {
        return value;
    }
    let width = value.width();
    let line = m.register(&format!("{name}_q"), cycles * width, reset, "");
    if cycles == 1 {
        line.next(value);
        return *line;
    }
    let kept = line.slice(0, (cycles - 1) * width);
    line.next(m.cat(&[kept, value]));
    line.slice((cycles - 1) * width, width)
}

#[track_caller]
fn chain<'m>(m: &'m Builder, name: &str, value: Sig<'m>, cycles: usize) -> Sig<'m> {
    (1..=cycles).fold(value, |previous, place| {
        let register = m.register(&format!("{name}_{place}_q"), previous.ty(), None, "");
        register.next(previous);
        *register
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::pipeline_test::{check, word};
    use crate::hdl::{About, Block, Ty};

    #[derive(Debug)]
    struct Line {
        ty: Ty,
        cycles: usize,
    }

    impl Block for Line {
        fn name(&self) -> String {
            format!("spatten_test_line_{}_{}", self.ty, self.cycles)
        }

        fn about(&self) -> About {
            About {
                purpose: "A delay line.".into(),
                parameters: vec![],
                source: file!(),
            }
        }

        fn build(&self, m: &Builder) {
            let flag = m.input("valid", 1, "");
            let value = m.input("value", self.ty, "");
            m.output("valid", 1, "")
                .drive(delay_flag(m, "flag", flag, self.cycles));
            m.output("value", self.ty, "")
                .drive(delay(m, "value", value, self.cycles));
        }
    }

    #[test]
    fn words_and_flags_come_out_as_many_cycles_later() {
        // Five cycles of 12 bits make a shift register, of 50 bits a chain.
        for ty in [Ty::signed(12), Ty::unsigned(50)] {
            for cycles in [0, 1, 2, 5] {
                let vectors: Vec<_> = (0..40)
                    .map(|k| {
                        let value = word(k * k * 123_456_789, ty.width);
                        (vec![("value", value.clone())], vec![("value", value)])
                    })
                    .collect();
                check(&Line { ty, cycles }, cycles, &vectors);
            }
        }
    }
}
