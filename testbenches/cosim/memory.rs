//! The memories behind AXI4 ports: alone, against a master written here, and on a design written by hand.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spatten::cosim::memory::{
    AxiChannels, AxiChecker, AxiLimits, AxiSlave, AxiStalls, BEAT_BYTES, Burst, Hbm2Timing,
    MemoryTiming, ReadMisdeed, Response, SlaveFault, SlaveOptions, WriteBeat,
};
use spatten::cosim::{Bench, BenchError, Design, MemoryId, Stalls, Tracing, Verilator};

use super::design;

const LIMITS: AxiLimits = AxiLimits {
    id_bits: 7,
    address_bits: 34,
    burst_beats: 6,
    reads: 128,
    writes: 8,
};

fn hbm2() -> MemoryTiming {
    MemoryTiming::Hbm2(Hbm2Timing::default())
}

/// A beat that a master received, with its cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Got {
    cycle: u64,
    id: u16,
    first_byte: u8,
    response: Response,
    last: bool,
}

/// Sends `bursts` of reads, each as soon as the memory and the outstanding limit let it, with the lowest free id; takes
/// all data at once. The checker watches both sides unless the memory misbehaves.
fn read_all(slave: &mut AxiSlave, bursts: &[(u64, usize)], reads: usize, cycles: u64) -> Vec<Got> {
    let mut checker = AxiChecker::new(LIMITS);
    let mut free: Vec<u16> = (0..reads as u16).rev().collect();
    let mut waiting = bursts.iter();
    let mut next = waiting.next();
    let mut got = Vec::new();
    for cycle in 0..cycles {
        slave.begin();
        if let Some(beat) = slave.read_offer() {
            got.push(Got {
                cycle,
                id: beat.id,
                first_byte: beat.data[0],
                response: beat.response,
                last: beat.last,
            });
            if !slave.misbehaves() {
                checker.read_beat(beat).unwrap();
                free.extend(beat.last.then_some(beat.id));
            }
            slave.read_taken();
        }
        if let Some(&(address, beats)) = next
            && slave.read_ready()
            && let Some(id) = free.pop()
        {
            let burst = Burst::new(id, address, beats);
            checker.read_address(burst).unwrap();
            slave.take_read(burst);
            next = waiting.next();
        }
        slave.end();
    }
    got
}

/// Bytes per cycle while `vectors` of `beats` beats at a power-of-two stride are read in order.
fn dense_rate(timing: MemoryTiming, beats: usize, vectors: u64) -> f64 {
    let mut slave = AxiSlave::new(SlaveOptions::new(timing, 1));
    let stride = (beats as u64 * BEAT_BYTES).next_power_of_two();
    let bursts: Vec<_> = (0..vectors)
        .map(|vector| (vector * stride, beats))
        .collect();
    // Enough reads to cover the latency of single beats too.
    let got = read_all(&mut slave, &bursts, 128, 4 * vectors * beats as u64 + 1000);
    assert_eq!(got.len(), vectors as usize * beats);
    let span = got.last().unwrap().cycle - got[0].cycle + 1;
    (got.len() as u64 * BEAT_BYTES) as f64 / span as f64
}

#[test]
fn a_dense_stream_runs_at_the_ceiling_that_refresh_leaves() {
    // 1 - 260 / 3900 of 32 bytes per cycle; what is below is the refill after each refresh.
    let ceiling = 32.0 * (1.0 - 260.0 / 3900.0);
    for beats in [1, 2, 3, 4, 6] {
        let rate = dense_rate(hbm2(), beats, 60_000 / beats as u64);
        println!("{beats} beats: {rate:.2} of {ceiling:.2} bytes/cycle");
        assert!(
            (0.975 * ceiling..=ceiling).contains(&rate),
            "{beats}: {rate}"
        );
    }
    let fixed = dense_rate(MemoryTiming::Fixed(80), 2, 10_000);
    assert!(fixed > 31.9, "{fixed}");
}

#[test]
fn a_fixed_latency_is_counted_from_the_address_and_an_idle_hbm2_takes_70_cycles() {
    for (timing, expected) in [(MemoryTiming::Fixed(80), 80), (hbm2(), 70)] {
        let mut slave = AxiSlave::new(SlaveOptions::new(timing, 1));
        let got = read_all(&mut slave, &[(64, 2)], 1, 200);
        let cycles: Vec<_> = got.iter().map(|got| got.cycle).collect();
        assert_eq!(cycles, [expected, expected + 1]);
    }
}

/// A memory whose beat at address a holds a / 32 in its first byte.
fn numbered(options: SlaveOptions) -> AxiSlave {
    let mut slave = AxiSlave::new(options);
    for beat in 0..256 {
        let bytes = [beat as u8; BEAT_BYTES as usize];
        slave.memory_mut().write(beat * BEAT_BYTES, &bytes);
    }
    slave
}

#[test]
fn reordering_moves_bursts_past_each_other_but_never_within_an_id() {
    for timing in [MemoryTiming::Fixed(20), hbm2()] {
        let mut options = SlaveOptions::new(timing, 3);
        options.reorder = 100;
        options.stalls = AxiStalls::all(Stalls::random(0.3));
        let mut slave = numbered(options);
        // Ids 0 to 3 in turn, each used again while it is under way: AXI4 asks for order within an id.
        let mut asked = vec![Vec::new(); 4];
        let mut got = vec![Vec::new(); 4];
        let mut order = Vec::new();
        let mut next = 0u16;
        for _ in 0..20_000 {
            slave.begin();
            if let Some(beat) = slave.read_offer() {
                got[beat.id as usize].push(beat.data[0]);
                order.push(beat.data[0]);
                slave.read_taken();
            }
            if slave.read_ready() && next < 200 && slave.reads_open() < 16 {
                slave.take_read(Burst::new(next % 4, u64::from(next) * BEAT_BYTES, 1));
                asked[next as usize % 4].push(next as u8);
                next += 1;
            }
            slave.end();
        }
        assert_eq!(got, asked);
        assert!(
            order.windows(2).any(|pair| pair[0] > pair[1]),
            "nothing was reordered"
        );
    }
}

#[test]
fn interleaving_mixes_the_beats_of_bursts_and_loses_none() {
    let mut options = SlaveOptions::new(MemoryTiming::Fixed(10), 5);
    options.interleave = 0.5;
    let mut slave = numbered(options);
    let bursts: Vec<_> = (0..30).map(|k| (k * 4 * BEAT_BYTES, 4)).collect();
    let got = read_all(&mut slave, &bursts, 30, 1000);
    let mut bytes: Vec<u8> = got.iter().map(|got| got.first_byte).collect();
    let mixed = got
        .windows(2)
        .any(|pair| !pair[0].last && pair[0].id != pair[1].id);
    assert!(mixed);
    bytes.sort_unstable();
    assert_eq!(bytes, (0..120).collect::<Vec<u8>>());
}

#[test]
fn seeded_faults_show_on_the_read_they_are_seeded_into() {
    let mut slave = numbered(SlaveOptions::new(MemoryTiming::Fixed(10), 5));
    let response = Response::SlaveError;
    slave.fail_read(1, SlaveFault::Respond { beat: 1, response });
    slave.fail_read(2, SlaveFault::StrayAnswer { id: 60 });
    slave.fail_read(3, SlaveFault::WrongLast);
    slave.fail_read(4, SlaveFault::WrongLast);
    slave.fail_read(5, SlaveFault::Silence);
    let bursts = [
        (0, 2),
        (64, 2),
        (128, 2),
        (192, 2),
        (256, 1),
        (320, 2),
        (384, 1),
    ];
    let got = read_all(&mut slave, &bursts, 7, 200);
    let shown: Vec<_> = got
        .iter()
        .map(|got| (got.id, got.response.code(), got.last))
        .collect();
    // Ids are handed out from 0 on.
    let expected = [
        (0, 0, false),
        (0, 0, true),
        (1, 0, false),
        (1, 2, true),
        (60, 0, true),
        (2, 0, false),
        (2, 0, true),
        (3, 0, true),
        (4, 0, false),
        (4, 0, true),
        (6, 0, true),
    ];
    assert_eq!(shown, expected);
    assert_eq!(slave.reads_open(), 1);
}

#[test]
fn a_slave_knows_what_it_did_wrong_first() {
    let response = Response::DecodeError;
    let respond = SlaveFault::Respond { beat: 9, response };
    let address = 64;
    let in_response = ReadMisdeed::Response { response, address };
    for (fault, misdeed) in [
        (respond, in_response),
        (
            SlaveFault::StrayAnswer { id: 60 },
            ReadMisdeed::Stray { id: 60 },
        ),
        (SlaveFault::WrongLast, ReadMisdeed::WrongLast { address }),
        (SlaveFault::Silence, ReadMisdeed::Silence { address }),
    ] {
        let mut slave = numbered(SlaveOptions::new(MemoryTiming::Fixed(10), 5));
        slave.fail_read(1, fault);
        slave.fail_read(2, SlaveFault::WrongLast);
        read_all(&mut slave, &[(0, 2), (64, 2), (128, 2)], 7, 100);
        assert_eq!(slave.first_misdeed(), Some(misdeed));
        slave.reset();
        read_all(&mut slave, &[(0, 2), (64, 2)], 7, 100);
        assert_eq!(slave.first_misdeed(), None);
    }

    let mut options = SlaveOptions::new(MemoryTiming::Fixed(10), 5);
    options.interleave = 0.9;
    let mut slave = numbered(options);
    let got = read_all(&mut slave, &[(0, 4), (128, 4)], 7, 100);
    let other = got.iter().position(|beat| beat.id != got[0].id).unwrap();
    assert!(other < 4, "nothing was interleaved");
    let intruder = ReadMisdeed::Interleaved { address: 128 };
    assert_eq!(slave.first_misdeed(), Some(intruder));
}

#[test]
fn accesses_behind_the_memory_get_decode_errors() {
    let mut options = SlaveOptions::new(MemoryTiming::Fixed(4), 5);
    options.bytes = 128;
    let mut slave = AxiSlave::new(options);
    let got = read_all(&mut slave, &[(64, 2), (96, 2)], 2, 50);
    let codes: Vec<_> = got.iter().map(|got| got.response.code()).collect();
    assert_eq!(codes, [0, 0, 3, 3]);
}

#[test]
fn written_bytes_are_in_the_memory_before_the_response() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    for timing in [MemoryTiming::Fixed(7), hbm2()] {
        let mut slave = AxiSlave::new(SlaveOptions::new(timing, 1));
        let before = slave.memory().read(64, 64);
        let data: [u8; 32] = std::array::from_fn(|_| random.random());
        let beats = [(u32::MAX, false), (0xffff_0000, true)];
        let mut answered = None;
        let mut addressed = false;
        let mut sent = 0;
        for cycle in 0..200 {
            slave.begin();
            if let Some(response) = slave.write_offer() {
                assert_eq!((response.id, response.response), (9, Response::Okay));
                assert_eq!(sent, 2);
                answered = Some(cycle);
                slave.response_taken();
            }
            if slave.data_ready() && sent < 2 {
                let (strobes, last) = beats[sent];
                slave.take_data(WriteBeat {
                    data,
                    strobes,
                    last,
                });
                sent += 1;
            }
            if slave.write_ready() && !addressed {
                slave.take_write(Burst::new(9, 64, 2));
                addressed = true;
            }
            slave.end();
        }
        assert!(answered.is_some());
        let after = slave.memory().read(64, 64);
        assert_eq!(after[..32], data);
        assert_eq!(after[32..48], before[32..48]);
        assert_eq!(after[48..], data[16..]);
    }
}

// ---- on a design -----------------------------------------------------------------------------------------------

/// The copying master, with one piece of its Verilog replaced.
fn copy(from: &str, to: &str) -> Design {
    let text = include_str!("axi_copy.v");
    assert!(text.contains(from), "{from}");
    let ports = [
        "clk_i",
        "rst_ni",
        "mem_ar_valid_o",
        "mem_ar_ready_i",
        "mem_ar_id_o:4",
        "mem_ar_addr_o:20",
        "mem_ar_len_o:8",
        "mem_ar_size_o:3",
        "mem_ar_burst_o:2",
        "mem_r_valid_i",
        "mem_r_ready_o",
        "mem_r_id_i:4",
        "mem_r_data_i:256",
        "mem_r_resp_i:2",
        "mem_r_last_i",
        "mem_aw_valid_o",
        "mem_aw_ready_i",
        "mem_aw_id_o:4",
        "mem_aw_addr_o:20",
        "mem_aw_len_o:8",
        "mem_aw_size_o:3",
        "mem_aw_burst_o:2",
        "mem_w_valid_o",
        "mem_w_ready_i",
        "mem_w_data_o:256",
        "mem_w_strb_o:32",
        "mem_w_last_o",
        "mem_b_valid_i",
        "mem_b_ready_o",
        "mem_b_id_i:4",
        "mem_b_resp_i:2",
        "done_o",
        "failed_o",
    ];
    design("axi_copy", &text.replace(from, to), &ports, false)
}

/// Runs the copy to its end; whether it failed by its own account, and the copied bytes.
fn run_copy(
    design: &Design,
    options: SlaveOptions,
    seed_fault: impl Fn(&mut AxiSlave),
) -> Result<(bool, Vec<u8>, Vec<u8>), BenchError> {
    let seed = options.seed;
    let build = Verilator::default().build(design, Tracing::Off).unwrap();
    let mut bench = Bench::new(build.start(seed).unwrap(), seed);
    let limits = AxiLimits {
        id_bits: 4,
        address_bits: 20,
        burst_beats: 2,
        reads: 1,
        writes: 1,
    };
    let slave = AxiSlave::new(options);
    let memory: MemoryId = bench.memory("mem", AxiChannels::Both, limits, slave);
    let bytes: Vec<u8> = (0..4096).map(|k| (k * 7 + k / 256) as u8).collect();
    bench.slave(memory).memory_mut().write(0, &bytes);
    // A reset in mid-copy, which must leave the memory behind in a state to begin with.
    bench.reset(2)?;
    bench.run_for(333)?;
    bench.reset(2)?;
    seed_fault(bench.slave(memory));
    let (done, failed) = (
        bench.simulator().port("done_o"),
        bench.simulator().port("failed_o"),
    );
    bench.run_for(3)?;
    for _ in 0..40_000 {
        if bench.simulator().get(done) == 1 {
            break;
        }
        bench.step()?;
    }
    assert_eq!(bench.simulator().get(done), 1, "the copy does not end");
    let failed = bench.simulator().get(failed) == 1;
    let copied = bench.slave(memory).memory().read(0x8000, 4096);
    Ok((failed, copied, bytes))
}

#[test]
fn a_sound_master_copies_memory_under_stalls_and_both_timings() {
    for timing in [MemoryTiming::Fixed(5), hbm2()] {
        let mut options = SlaveOptions::new(timing, 2);
        options.stalls = AxiStalls::all(Stalls::bursts(0.2, 5));
        let (failed, copied, bytes) = run_copy(&copy("", ""), options, |_| ()).unwrap();
        assert!(!failed);
        assert!(copied == bytes);
    }
}

#[test]
fn a_master_sees_the_errors_that_are_seeded() {
    let design = copy("", "");
    let options = || SlaveOptions::new(MemoryTiming::Fixed(5), 2);
    let response = Response::DecodeError;
    let fault = SlaveFault::Respond { beat: 0, response };
    for seed_fault in [
        (|slave: &mut AxiSlave, fault| slave.fail_read(20, fault)) as fn(&mut AxiSlave, _),
        |slave, fault| slave.fail_write(20, fault),
    ] {
        let (failed, copied, bytes) =
            run_copy(&design, options(), |slave| seed_fault(slave, fault)).unwrap();
        assert!(failed);
        assert!(copied == bytes);
    }
}

#[test]
fn the_faults_of_a_master_are_named_with_port_and_rule() {
    for (from, to, words) in [
        (
            "mem_ar_burst_o = 2'd1",
            "mem_ar_burst_o = 2'd2",
            "burst type 2",
        ),
        ("mem_aw_size_o = 3'd5", "mem_aw_size_o = 3'd4", "size 4"),
        (
            "mem_ar_addr_o = {6'd0, pair_q, 6'd0}",
            "mem_ar_addr_o = {6'd0, pair_q, 6'd16}",
            "0x10 is no multiple",
        ),
        (
            "mem_ar_addr_o = {6'd0, pair_q, 6'd0}",
            "mem_ar_addr_o = {6'd0, pair_q, 6'd32}",
            "crosses a 4 KB boundary",
        ),
        ("mem_ar_len_o = 8'd1", "mem_ar_len_o = 8'd2", "3 beats"),
        (
            "mem_w_last_o = beat_q",
            "mem_w_last_o = 1'b1",
            "write data of id 15: last is true on beat 1 of 2",
        ),
        (
            "assign mem_ar_id_o = pair_q[3:0]",
            "reg [3:0] spin_q; always @(posedge clk_i) spin_q <= spin_q + 4'd1; assign mem_ar_id_o = spin_q",
            "field `id`, lane 0 changed",
        ),
        (
            "assign mem_ar_valid_o = state_q == ASK",
            "reg gone_q; always @(posedge clk_i) gone_q <= state_q == ASK & !gone_q; \
             assign mem_ar_valid_o = state_q == ASK & !gone_q",
            "valid fell",
        ),
        (
            "state_q <= DONE",
            "state_q <= ASK",
            "valid is high during reset",
        ),
        (
            "mem_ar_id_o = pair_q[3:0]",
            "mem_ar_id_o = pair_q[3:0] ^ {4{mem_r_valid_i & mem_r_ready_o}}",
            "`mem_ar_id_o` follows an input",
        ),
    ] {
        let mut options = SlaveOptions::new(MemoryTiming::Fixed(5), 2);
        options.stalls = AxiStalls::all(Stalls::random(0.5));
        let outcome = run_copy(&copy(from, to), options, |_| ());
        let message = outcome.expect_err(to).to_string();
        println!("{message}");
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
}
