//! Stream cells in the evaluator: order, latency, interval and capacity, without any tool installed.

use std::collections::VecDeque;

use num_bigint::BigUint;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::banked_fifo::BankedFifo;
use super::fifo::Fifo;
use super::spill_register::SpillRegister;
use crate::hdl::{Block, Evaluator, elaborate};

/// A block with streams `in` and `out` of one field `data`, in the evaluator.
struct Queue {
    evaluator: Evaluator,
    cycle: u64,
}

/// What a cycle moved: the word in, the word out.
type Moved = (bool, Option<u64>);

impl Queue {
    fn new(block: &dyn Block) -> Self {
        let mut evaluator = Evaluator::new(elaborate(block));
        evaluator.reset();
        Queue {
            evaluator,
            cycle: 0,
        }
    }

    fn port(&self, name: &str) -> usize {
        self.evaluator.module().port_index(name).unwrap()
    }

    fn set(&mut self, name: &str, value: u64) {
        let port = self.port(name);
        self.evaluator.set(port, &BigUint::from(value));
    }

    fn get(&mut self, name: &str) -> u64 {
        let port = self.port(name);
        self.evaluator.get(port).try_into().unwrap()
    }

    fn tick(&mut self, offered: Option<u64>, ready: bool) -> Moved {
        self.set("in_valid_i", offered.is_some().into());
        self.set("in_data_i", offered.unwrap_or(0));
        self.set("out_ready_i", ready.into());
        let entered = offered.is_some() && self.get("in_ready_o") == 1;
        let left = (ready && self.get("out_valid_o") == 1).then(|| self.get("out_data_o"));
        self.evaluator.tick().unwrap();
        self.cycle += 1;
        (entered, left)
    }
}

/// Random stalls on both sides, in phases so that the queue runs full and empty; order is kept and nothing is lost.
fn keeps_order(block: &dyn Block, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut queue = Queue::new(block);
    let mut held = VecDeque::new();
    let mut offered = None;
    for cycle in 0..3000 {
        let [offering, taking] = [[0.9, 0.3], [0.3, 0.9], [1.0, 1.0]][cycle / 50 % 3];
        if offered.is_none() && rng.random_bool(offering) {
            offered = Some(u64::from(rng.next_u32() as u8));
        }
        let (entered, left) = queue.tick(offered, rng.random_bool(taking));
        if let Some(word) = left {
            assert_eq!(held.pop_front(), Some(word), "seed {seed}, cycle {cycle}");
        }
        if entered {
            held.extend(offered.take());
        }
    }
    while !held.is_empty() {
        if let (_, Some(word)) = queue.tick(None, true) {
            assert_eq!(held.pop_front(), Some(word), "seed {seed}, at the end");
        }
        assert!(queue.cycle < 4000, "seed {seed}: words stay inside");
    }
}

/// Cycles from a transfer in to the first cycle the word can leave, in the empty queue.
fn latency(block: &dyn Block) -> u64 {
    let mut queue = Queue::new(block);
    assert_eq!(queue.tick(Some(7), true), (true, None));
    (1..100)
        .find(|_| queue.tick(None, true).1.is_some())
        .expect("the word leaves")
}

/// Cycles per word when neither side stalls.
fn interval(block: &dyn Block) -> u64 {
    let mut queue = Queue::new(block);
    for word in 0..20 {
        queue.tick(Some(word), true);
    }
    let left = (0..100).filter(|_| queue.tick(Some(1), true).1.is_some());
    100 / left.count() as u64
}

/// Words taken while the output stalls.
fn capacity(block: &dyn Block) -> usize {
    let mut queue = Queue::new(block);
    (0..100).filter(|_| queue.tick(Some(1), false).0).count()
}

#[test]
fn a_spill_register_keeps_order_at_full_speed() {
    let block = SpillRegister { width: 8 };
    keeps_order(&block, 1);
    assert_eq!(latency(&block), SpillRegister::LATENCY);
    assert_eq!(interval(&block), 1);
    assert_eq!(capacity(&block), 2);
}

#[test]
fn a_fifo_of_any_depth_keeps_order_and_holds_its_depth() {
    for depth in [1, 2, 3, 4, 5, 7, 16] {
        let block = Fifo::new(8, depth);
        keeps_order(&block, depth as u64);
        assert_eq!(latency(&block), Fifo::LATENCY, "depth {depth}");
        assert_eq!(interval(&block), block.interval(), "depth {depth}");
        assert_eq!(capacity(&block), depth);
    }
}

#[test]
fn a_banked_fifo_of_any_depth_keeps_order_and_holds_its_lines() {
    for (depth, banks) in [(1, 4), (4, 4), (5, 4), (7, 4), (13, 4), (3, 8), (20, 8)] {
        let block = BankedFifo {
            width: 8,
            depth,
            banks,
        };
        keeps_order(&block, depth as u64);
        assert_eq!(latency(&block), BankedFifo::LATENCY, "depth {depth}");
        assert_eq!(interval(&block), BankedFifo::INTERVAL, "depth {depth}");
        assert_eq!(capacity(&block), block.capacity());
    }
}

#[test]
fn a_banked_fifo_loses_no_cycle_at_any_fill_level() {
    let block = BankedFifo::new(8, 13);
    // Fewer words than this leave before the first new one has come through.
    for level in BankedFifo::LATENCY as usize..=block.capacity() {
        let mut queue = Queue::new(&block);
        let mut held = 0;
        for _ in 0..40 {
            held += usize::from(queue.tick((held < level).then_some(1), false).0);
        }
        assert_eq!(held, level);
        for cycle in 0..100 {
            let (entered, left) = queue.tick(Some(1), true);
            assert!(left.is_some(), "level {level}, cycle {cycle}");
            // A full ring takes the next word when the first read has made room.
            assert!(entered || cycle < 2, "level {level}, cycle {cycle}");
        }
    }
}

#[test]
fn what_waits_in_a_banked_fifo_does_not_grow_while_every_word_is_taken() {
    let block = BankedFifo::new(8, 40);
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut queue = Queue::new(&block);
        for _ in 0..20 {
            queue.tick(Some(1), false);
        }
        let writing = rng.random_range(0.3..1.0);
        let mut waiting = 20_i64;
        for cycle in 0..500 {
            // Every other cycle meets the reads in phase for as long as anything waits.
            let offers = if seed == 0 {
                cycle % 2 == 0
            } else {
                rng.random_bool(writing)
            };
            let (entered, left) = queue.tick(offers.then_some(1), true);
            waiting += i64::from(entered) - i64::from(left.is_some());
            assert!(waiting <= 21, "seed {seed}, cycle {cycle}: {waiting} words");
        }
    }
}
