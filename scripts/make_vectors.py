#!/usr/bin/python3
"""Writes testbenches/data/numerics_vectors.json from the executable definition of the row arithmetic.

The definition is $SPATTEN_SHARED/spec/numerics_reference.py (without the variable: ../shared beside this
repository). Run it again, and commit the result, when that definition changes:

    scripts/make_vectors.py

The same definition gives the same bytes.
"""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "testbenches" / "data" / "numerics_vectors.json"
SEED = 20210227


def load_reference():
    shared = Path(os.environ.get("SPATTEN_SHARED", ROOT.parent / "shared"))
    path = shared / "spec" / "numerics_reference.py"
    if not path.is_file():
        raise SystemExit(f"{path}: no such file; set SPATTEN_SHARED to the folder of the shared data")
    spec = importlib.util.spec_from_file_location("numerics_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exp2_vectors(ref, rng):
    octave = 1 << ref.F
    corners = [0, 1, 31, 32, 33, 63, 64, 65, octave - 1, octave, octave + 1, ref.XMAX - 1, ref.XMAX]
    ends_of_octaves = [i * octave + d for i in range(1, 32) for d in (-1, 0)]
    first_octave = rng.integers(0, octave, 600).tolist()
    anywhere = rng.integers(0, ref.XMAX + 1, 600).tolist()
    x = corners + ends_of_octaves + first_octave + anywhere
    return {
        "value": ref.TAB[:-1].tolist(),
        "slope": ref.SLOPE.tolist(),
        "x": x,
        "e": ref.exp2n(np.array(x)).tolist(),
    }


def reciprocal_vectors(ref, rng):
    powers = [1 << i for i in range(28)]
    below_powers = [p - 1 for p in powers]
    bits = rng.integers(1, 28, 400)
    anywhere = (1 << bits) + rng.integers(0, 1 << 27, 400) % (1 << bits)
    sums = sorted(set(powers + below_powers + [ref.EONE, 4096 * ref.EONE] + anywhere.tolist()))
    mantissa, exponent = ref.recip(np.array(sums))
    return {"sum": sums, "mantissa": mantissa.tolist(), "exponent": exponent.tolist()}


def scale_vectors(ref, rng):
    """Factors over the whole range of the registers, each with distances that reach and pass saturation."""
    powers = [2.0**i for i in range(-60, 4)]
    near_powers = [p * f for p in powers[1:] for f in (1 - 2.0**-17, 1 - 2.0**-18, 1 + 2.0**-16)]
    anywhere = (2.0 ** rng.uniform(-60, 3.99, 100)).tolist()
    cases = []
    for factor in powers + near_powers + anywhere:
        registers = ref.scale_reg(factor)
        saturating = min(32 / factor, 2.0**34 - 1)
        distances = [0, 1, 2**34 - 1, int(saturating)] + (saturating * rng.random(4)).astype(np.int64).tolist()
        cases.append(
            {
                "factor": factor,
                "registers": list(registers),
                "distance": distances,
                "x": ref.x_of(np.array(distances), registers).tolist(),
            }
        )
    return cases


def masks(rng, rows, n):
    """One full row, one empty, one with a single key, a prefix, the others random."""
    live = rng.random((rows, n)) < 0.7
    live[0] = True
    live[1] = False
    live[2] = np.arange(n) == n - 1
    live[3] = np.arange(n) <= n // 2
    return live


def bits(mask):
    """A mask as text, the first key first."""
    return "".join("1" if bit else "0" for bit in mask)


def head_vectors(ref, rng, n, d, factor, operands="random"):
    rows = 6
    q = rng.integers(-2047, 2048, (rows, d))
    k = rng.integers(-2047, 2048, (n, d))
    v = rng.integers(-2047, 2048, (n, d))
    if operands == "flat":
        q[:] = 0
    if operands == "extreme":
        q, k, v = (np.where(a < 0, -2047, 2047) for a in (q, k, v))
    if operands == "saturating":
        q[:] = 0
        v[:] = -2048
    live = masks(rng, rows, n)
    keep = rng.random((rows, n)) < 0.4

    registers = ref.scale_reg(factor)
    s = ref.score_msb(q, k)
    e, total = ref.row_e(s, registers, live)
    weights, kept_weights = ref.ev_of(e), ref.ev_of(e, keep)
    mantissa, exponent = ref.recip(total)
    out, acc, _ = ref.attend(weights, total, v)
    kept_out, _, _ = ref.attend(kept_weights, total, v)
    maximum = ref.row_max(s, live)[:, 0]
    return {
        "factor": factor,
        "registers": list(registers),
        "queries": q.tolist(),
        "keys": k.tolist(),
        "values": v.tolist(),
        "rows": [
            {
                "live": bits(live[i]),
                "scores": s[i].tolist(),
                "maximum": int(maximum[i]) if live[i].any() else None,
                "exponentials": e[i].tolist(),
                "sum": int(total[i]),
                "reciprocal": [int(mantissa[i]), int(exponent[i])],
                "weights": weights[i].tolist(),
                "accumulators": acc[i].tolist(),
                "outputs": out[i].tolist(),
                "keep": bits(keep[i]),
                "kept_weights": kept_weights[i].tolist(),
                "kept_outputs": kept_out[i].tolist(),
            }
            for i in range(rows)
        ],
    }


def progressive_vectors(ref, rng, key_bits, rule):
    """A head with K in key_bits + 4 bits: thresholds and noise limits that some rows pass and others do not."""
    rows, n, d = 10, 24, 16
    most = 2 ** (key_bits + 3) - 1
    q = rng.integers(-2047, 2048, (rows, d)) >> np.arange(rows)[:, None]
    k = rng.integers(-most, most + 1, (n, d))
    k[0], k[1, ::2] = -most, most
    v = rng.integers(-2047, 2048, (n, d))
    factor = 2.0 ** -(13.5 + key_bits)
    live = masks(rng, rows, n)

    registers = ref.scale_reg(factor)
    k_msb, k_lsb = ref.split_k(k)
    first_s = ref.score_msb(q, k_msb)
    first_e, first_total = ref.row_e(first_s, registers, live)
    shift = 12
    noise = np.minimum(65535, (q * q).sum(-1) >> shift)
    if rule == "threshold":
        limit = ref.ts_reg(0.4)
        need = ref.need_maxp(first_total, limit)
    else:
        limit = int(np.median(noise) // 3)
        need = ref.need_noise(first_total, noise, limit)
    s = np.where(need[:, None], ref.score_refine(first_s, q, k_lsb), first_s)
    e, total = ref.row_e(s, registers, live)
    out, _, _ = ref.attend(ref.ev_of(e), total, v)
    return {
        "key_bits": key_bits,
        "rule": rule,
        "limit": limit,
        "shift": shift,
        "factor": factor,
        "queries": q.tolist(),
        "keys": k.tolist(),
        "values": v.tolist(),
        "rows": [
            {
                "live": bits(live[i]),
                "first_scores": first_s[i].tolist(),
                "first_sum": int(first_total[i]),
                "refetched": bool(need[i]),
                "scores": s[i].tolist(),
                "exponentials": e[i].tolist(),
                "sum": int(total[i]),
                "probabilities": ref.prob(e[i : i + 1], total[i : i + 1])[0].tolist(),
                "outputs": out[i].tolist(),
            }
            for i in range(rows)
        ],
    }


def quantizer_vectors(ref, rng):
    """Float operands through K conditioning, and what they quantize to."""
    q = np.round(rng.normal(0, 2, (7, 8)), 6)
    k = np.round(rng.normal(0, 1, (7, 8)) * 2.0 ** np.arange(-4, 4) + 3, 6)
    conditioned_q, conditioned_k = ref.condition_k(q, k)
    case = {
        "q": q.tolist(),
        "k": k.tolist(),
        "conditioned_q": conditioned_q.tolist(),
        "conditioned_k": conditioned_k.tolist(),
        "codes": [],
    }
    for bits in (4, 6, 8, 10, 12):
        codes, step = ref.quantise(k, bits)
        case["codes"].append({"bits": bits, "codes": codes.tolist(), "step": float(step.item())})
    return case


def vectors(ref):
    rng = np.random.default_rng(SEED)
    heads = [
        head_vectors(ref, rng, n=1, d=4, factor=2.0**-22),
        head_vectors(ref, rng, n=13, d=16, factor=2.0**-25.3),
        head_vectors(ref, rng, n=11, d=64, factor=2.0**-26.7),
        head_vectors(ref, rng, n=40, d=8, factor=2.0**-21.1),
        head_vectors(ref, rng, n=90, d=4, factor=2.0**-23.9),
        head_vectors(ref, rng, n=5, d=128, factor=2.0**-28, operands="extreme"),
        head_vectors(ref, rng, n=30, d=4, factor=2.0**-20, operands="flat"),
        head_vectors(ref, rng, n=30, d=4, factor=2.0**-20, operands="saturating"),
        head_vectors(ref, rng, n=12, d=8, factor=2.0**-6),
    ]
    return {
        "made_by": "scripts/make_vectors.py",
        "exp2": exp2_vectors(ref, rng),
        "reciprocal": reciprocal_vectors(ref, rng),
        "scales": scale_vectors(ref, rng),
        "heads": heads,
        "quantizer": quantizer_vectors(ref, rng),
        "progressive": [
            progressive_vectors(ref, rng, key_bits, rule)
            for key_bits in (4, 6, 8, 10, 12)
            for rule in ("threshold", "noise")
        ],
    }


def main():
    sections = vectors(load_reference())
    lines = (f'"{name}":{json.dumps(body, separators=(",", ":"))}' for name, body in sections.items())
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{OUTPUT.relative_to(ROOT)}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
