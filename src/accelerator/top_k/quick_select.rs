//! The quick-select engine: the k-th largest of the keys that stream in.

use super::first_pivots::FirstPivots;
use super::golden::{self, Threshold};
use super::part::Part;
use super::row_fill::RowFill;
use crate::cells::bit_sorter::BitSorter;
use crate::cells::popcount::Popcount;
use crate::hdl::{About, Block, Builder, Field, Instance, Sig};
use crate::numerics::{log2_exact, value_bits};
use crate::{net, reg};

/// A pass compares rows of `lanes` keys with two pivots: `lanes` comparators `<` and `lanes` comparators `>` split them
/// into three parts, below, between and above. The part that holds the k-th largest goes on. At most `lanes` keys left
/// stay in the row register, where a mask of candidates is refined.
///
/// - Latency and interval depend on the keys; [`most_cycles`](Self::most_cycles) bounds them.
/// - Stalls: `in` stalls while no selection is known, its last line has come, or the row FIFO is full; a threshold that is
///   not taken holds the engine.
#[derive(Clone, Debug)]
pub struct QuickSelect {
    /// Bits of a key, unsigned.
    pub width: usize,
    /// Comparators of each kind: a power of two, 1 to 32.
    pub lanes: usize,
    /// Keys per input line, a power of two.
    pub inputs: usize,
    /// Most keys of a selection.
    pub max_keys: usize,
}

/// The parts of a pass, in the order of their one-hot selectors: the paper's FIFO_L and FIFO_R, and what lies between.
const PARTS: [&str; 3] = ["l", "m", "r"];

/// Where the wanted key lies, from the numbers of keys above and below the pivots.
#[derive(Clone, Copy)]
struct Verdict<'m> {
    above: Sig<'m>,
    below: Sig<'m>,
    /// Keys of the part that goes on.
    keys: Sig<'m>,
    /// They are more than a row.
    larger: Sig<'m>,
    /// Rank in that part.
    rank: Sig<'m>,
}

impl QuickSelect {
    /// Passes with sampled pivots; those of later passes are the bits of the wanted key, highest first.
    pub const SAMPLED_PASSES: u64 = 12;

    /// Cycles of a pass beside one per row: from the compare of its last row to that of the next pass's first.
    pub const PASS_OVERHEAD: usize = 3;

    /// Bits of a number of keys.
    pub fn count_bits(&self) -> usize {
        value_bits(self.max_keys)
    }

    /// Rows of all keys.
    fn rows(&self) -> usize {
        self.max_keys.div_ceil(self.lanes)
    }

    /// Most cycles from the last key's entry to `threshold`, for `keys` keys in whole lines that enter an idle engine:
    /// every pass reads all rows; after the sampled passes each settles one bit of the wanted key, and one more finds it;
    /// a mask of candidates loses a lane in two cycles.
    pub fn most_cycles(&self, keys: usize) -> usize {
        let passes = Self::SAMPLED_PASSES as usize + self.width + 1;
        let lines = keys.div_ceil(self.inputs).max(1);
        let rows = (lines * self.inputs).div_ceil(self.lanes);
        let pivots = FirstPivots::LATENCY as usize + 4;
        pivots + passes * (rows + Self::PASS_OVERHEAD) + 2 * self.lanes + 1
    }

    /// What `threshold` gives for the ranked keys: the [`golden::threshold`], or one that all keys meet, or none.
    pub fn golden(&self, keys: &[u64], k: usize) -> Threshold {
        let largest = |bits: usize| u64::MAX >> (64 - bits);
        let all = Threshold {
            kth: 0,
            keep_equal: largest(self.count_bits()) as usize,
        };
        let none = Threshold {
            kth: largest(self.width),
            keep_equal: 0,
        };
        let trivial = if k >= keys.len() { all } else { none };
        golden::threshold(keys, k).unwrap_or(trivial)
    }

    /// FIFO_L, FIFO_M and FIFO_R.
    pub fn part(&self) -> Part {
        Part {
            width: self.width,
            lanes: self.lanes,
            rows: self.rows(),
        }
    }

    /// The pivots of the first pass.
    pub fn first_pivots(&self) -> FirstPivots {
        FirstPivots {
            width: self.width,
            inputs: self.inputs,
            max_keys: self.max_keys,
        }
    }

    /// Lines to rows.
    pub fn row_fill(&self) -> RowFill {
        RowFill {
            width: self.width,
            lanes: self.lanes,
            inputs: self.inputs,
            rows: self.rows(),
        }
    }

    /// Fields of the `selection` channel.
    pub fn selection_fields(&self) -> Vec<Field> {
        let bits = self.count_bits();
        vec![
            Field::new("k", bits, "how many of the ranked keys stay"),
            Field::new("keys", bits, "ranked keys that will come"),
        ]
    }

    /// Fields of the `threshold` channel.
    pub fn threshold_fields(&self) -> Vec<Field> {
        vec![
            Field::new("kth", self.width, "larger keys stay"),
            Field::new("keep_equal", self.count_bits(), "equal ones that stay"),
        ]
    }
}

impl Block for QuickSelect {
    fn name(&self) -> String {
        format!(
            "spatten_quick_select_w{}_l{}_i{}_n{}",
            self.width, self.lanes, self.inputs, self.max_keys
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Quick-select: the k-th largest key, and how many keys equal to it stay.\n\
                      \n\
                      in -> u_fill -> row register -> compare with two pivots -> FIFO_L, FIFO_M, FIFO_R\n\
                      .                    ^-----------------------------------------'\n\
                      \n\
                      The first pass follows the lines as they come. Pivots of later passes are two of three samples of\n\
                      the part that goes on; after twelve passes the wanted key's bits, highest first. At most `lanes` keys\n\
                      stay in the row register as a mask of candidates."
                .into(),
            parameters: vec![
                ("width", self.width.to_string()),
                ("lanes", self.lanes.to_string()),
                ("inputs", self.inputs.to_string()),
                ("max_keys", self.max_keys.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let QuickSelect { width, lanes, .. } = *self;
        let bits = self.count_bits();
        let selection = m.stream_in("selection", &self.selection_fields());
        let input = m.stream_in("in", &self.row_fill().line_fields());
        let threshold = m.stream_out("threshold", &self.threshold_fields());
        let lower_out = m.output(
            "lower",
            width,
            "smaller keys never stay, as far as is known",
        );
        let upper_out = m.output("upper", width, "larger keys always stay, likewise");

        m.section("the selection whose lines come");
        reg!(m, filling_q: 1, reset = 0, "until its first pass has ended");
        reg!(m, complete_q: 1, reset = 0, "its last line has come");
        reg!(m, busy_q: 1, reset = 0, "a selection is ranked");
        reg!(m, done_q: 1, reset = 0, "its threshold waits to be taken");
        reg!(m, first_q: 1, reset = 0, "the first pass takes rows");
        reg!(m, opened_q: 1, reset = 0, "it has begun");
        net!(m, accept = selection.valid & !*filling_q);
        selection.ready.drive(!*filling_q);
        let (k, keys) = (selection.field("k"), selection.field("keys"));
        net!(m, keeps_all = k.ge(keys));
        reg!(m, k_q = k, when = accept);
        reg!(m, keeps_all_q = keeps_all, when = accept);
        reg!(
            m,
            trivial_q = keeps_all | !k.any(),
            when = accept,
            "all stay or none do: nothing is ranked"
        );

        m.section("its rows");
        let opens = m.wire("opens", 1, "the first pass begins in the next cycle");
        let last_line = input.field("last");
        let u_fill = m.instance("u_fill", &self.row_fill());
        let (line_data, line_ranked) = (input.data(), input.field("ranked"));
        u_fill
            .input("open", *filling_q & !*complete_q)
            .input("skip", *trivial_q)
            .input("first", *first_q)
            .input("first_next", *opens)
            .feed("in", input);
        net!(m, line = u_fill.output("line"));
        net!(m, full = u_fill.output("full"));
        net!(m, fill_valid = u_fill.output("row_valid"));
        net!(m, fill_last = u_fill.output("row_last"));
        net!(m, last_comes = line & last_line);
        complete_q.next_when(accept | last_comes, !accept);

        m.section("when the first pass begins: enough samples, all lines, or no room for more");
        let prepare = m.wire("prepare", 1, "");
        let u_first = m.instance("u_first_pivots", &self.first_pivots());
        u_first
            .input("accept", accept)
            .input("k", k)
            .input("keys", keys)
            .input("line", line)
            .input("data", line_data)
            .input("ranked", line_ranked)
            .input("prepare", *prepare);
        let latency = FirstPivots::LATENCY as usize;
        reg!(m, preparing_q: latency, reset = 0, "pivots under way");
        reg!(m, prepared_q: 1, reset = 0, "pivots wait for the engine");
        net!(m, free = !*busy_q & !*done_q);
        net!(m, enough = u_first.output("enough") | *complete_q | full);
        let asked = preparing_q.any() | *prepared_q | *first_q | *opened_q;
        net!(m, wanted = *filling_q & !*trivial_q & !asked);
        prepare.drive(wanted & enough);
        preparing_q.next(m.cat(&[preparing_q.slice(0, latency - 1), *prepare]));
        net!(m, known = preparing_q.msb() | *prepared_q);
        net!(m, begins = known & free, "the first pass begins");
        prepared_q.next_when(known, !begins);
        opens.drive(preparing_q.bit(latency - 2) & free);
        net!(
            m,
            trivial_end = *filling_q & free & *trivial_q & *complete_q
        );
        net!(m, first_ends = fill_valid & fill_last);
        let first_begins = *opens | begins;
        opened_q.next_when(accept | begins, begins);
        first_q.next_when(first_begins | first_ends, !first_ends);
        filling_q.next_when(accept | first_ends | trivial_end, accept);

        m.section("row register and pivots");
        reg!(m, local_q: 1, reset = 0, "the row register has all keys that are left");
        reg!(m, rank_q: bits, "the wanted key is the rank-th largest left");
        reg!(m, low_q: width, "lower pivot");
        reg!(m, high_q: width, "upper pivot");
        reg!(m, same_q = low_q.equals(*high_q), "one pivot");
        reg!(m, row_q: lanes * width);
        reg!(m, live_q: lanes, "lanes with a key that is left");
        reg!(m, row_valid_q: 1, reset = 0);
        reg!(m, row_last_q: 1, "last row of the pass");

        m.section("compare: the comparators `<` and `>`");
        let row = row_q.lanes(width).to_vec();
        let less: Vec<_> = row.iter().map(|key| key.lt(*low_q)).collect();
        let more: Vec<_> = row.iter().map(|key| key.gt(*high_q)).collect();
        net!(m, less = m.pack(&less));
        net!(m, more = m.pack(&more));
        net!(m, under = *live_q & less);
        net!(m, over = *live_q & more);
        reg!(m, under_q = under);
        reg!(m, over_q = over);
        reg!(m, not_under_q = *live_q & !less);
        reg!(m, between_q = *live_q & !less & !more);
        reg!(m, compared_row_q = *row_q);
        reg!(m, compared_valid_q = *row_valid_q, reset = 0);
        reg!(m, compared_last_q = *row_last_q);
        net!(m, pass_row = *compared_valid_q & !*local_q);
        net!(m, local_step = *compared_valid_q & *local_q);

        m.section("keys above, below and not below: of the row, and of the pass");
        let masks = [
            ("over", *over_q),
            ("under", *under_q),
            ("not_under", *not_under_q),
        ];
        let over_count = self.count(m, "over", *over_q);
        let under_count = self.count(m, "under", *under_q);
        reg!(
            m,
            decide_q = pass_row & *compared_last_q,
            reset = 0,
            "the pass is counted"
        );
        let clear = m.net("clear", begins | *decide_q, "");
        let totals = [0, 1, 2].map(|index| {
            let name = format!("{}_total_q", masks[index].0);
            let total = m.register(&name, bits, None, "");
            // One sum of many bits, which synthesis makes a carry-save tree with one adder at its end.
            let mask = masks[index].1;
            let sum = (0..lanes).fold(*total, |sum, k| sum.wrapping_add(mask.bit(k).extend(bits)));
            total.next_when(clear | pass_row, clear.select(m.lit(0, bits), sum));
            *total
        });

        m.section("which of them is wanted");
        let pass = self.verdict(m, totals, *rank_q);
        let local_bits = value_bits(lanes);
        reg!(m, local_rank_q: local_bits, "rank of the wanted key among the candidates");
        reg!(m, local_after_q: local_bits, "candidates after it");
        let rank_places = (1..=lanes).map(|rank| local_rank_q.is(rank as u64));
        let after_places = (0..lanes).map(|after| local_after_q.is(after as u64));
        reg!(
            m,
            rank_place_q = m.pack(&rank_places.collect::<Vec<_>>()),
            "rank - 1, one-hot"
        );
        reg!(
            m,
            after_place_q = m.pack(&after_places.collect::<Vec<_>>()),
            "one-hot"
        );
        let more_over = self.sorted(m, "over", over);
        let more_under = self.sorted(m, "under", under);
        net!(m, local_above = (more_over & *rank_place_q).any());
        net!(m, local_below = (more_under & *after_place_q).any());
        let pass_found = *decide_q & *same_q & !pass.above & !pass.below;
        net!(m, pass_found = pass_found);
        net!(m, local_found = local_step & !local_above & !local_below);
        net!(m, found = pass_found | local_found);
        net!(m, decided = *decide_q | local_step);
        rank_q.next_when(begins | *decide_q, begins.select(*k_q, pass.rank));

        m.section("the part that goes on");
        let part = m.cat(&[pass.above, !pass.above & !pass.below, pass.below]);
        reg!(
            m,
            part_q = part,
            when = *decide_q,
            "one-hot: below, between, above"
        );
        reg!(m, keys_q = pass.keys, when = *decide_q);
        let goes_on = *decide_q & !pass_found;
        reg!(m, begin_q = goes_on, reset = 0, "its pass begins");
        net!(m, all_but_one = keys_q.wrapping_sub(m.lit(1, bits)));
        let lane_bits = log2_exact(lanes);
        if lane_bits > 0 {
            let low = all_but_one.slice(0, lane_bits.min(bits));
            m.unused("in_the_tail", low, "keys of the tail, less one");
        }
        let in_memory = match bits > lane_bits {
            true => all_but_one.shift_right(lane_bits).resize(bits),
            false => m.lit(0, bits),
        };
        net!(m, in_memory = in_memory, "rows of it beside the tail");
        reg!(
            m,
            larger_q = pass.larger,
            when = *decide_q,
            "it is more than one row"
        );
        net!(m, fits = !*larger_q);
        reg!(m, rows_q: bits, reset = 0, "rows to fetch");
        net!(m, begin_fetch = *begin_q & !fits);
        net!(m, fetch = begin_fetch | rows_q.any());
        let rows = begin_q.select(in_memory, *rows_q);
        net!(m, rows = rows);
        rows_q.next_when(fetch, rows.wrapping_sub(m.lit(1, bits)));
        reg!(m, fetched_q = fetch, reset = 0);
        reg!(m, fetched_last_q = rows.is(1));

        m.section("FIFO_L, FIFO_M, FIFO_R");
        let keeps = [*under_q, *between_q, *over_q];
        let parts: Vec<Instance<'_>> = (0..PARTS.len())
            .map(|index| {
                let is_source = part_q.bit(index);
                let name = format!("u_fifo_{}", PARTS[index]);
                let instance = m.instance(&name, &self.part());
                instance
                    .input("begin", *begin_q | begins)
                    .input("source", is_source & *begin_q)
                    .input("valid", pass_row)
                    .input("data", *compared_row_q)
                    .input("keep", keeps[index])
                    .input("read", fetch & is_source)
            })
            .collect();
        let chosen = |port: &str| {
            let words: Vec<_> = parts
                .iter()
                .enumerate()
                .map(|(index, part)| {
                    let word = part.output(port);
                    word & part_q.bit(index).repeat(word.width())
                })
                .collect();
            m.net(
                port,
                words[0] | words[1] | words[2],
                "of the part that goes on",
            )
        };
        let (tail, tail_count, fetched_row) = (chosen("tail"), chosen("tail_count"), chosen("row"));
        let samples = ["smallest_sample", "median_sample", "largest_sample"].map(chosen);

        m.section(
            "its pivots: two of three samples, beside the third of the keys that has the rank",
        );
        let outside = totals[0].wrapping_add(totals[1]);
        reg!(
            m,
            outside_q = outside,
            when = *decide_q,
            "keys above and below"
        );
        let slow = part_q.bit(1) & keys_q.gt(*outside_q);
        net!(m, slow = slow, "the last pass has dropped less than half");
        net!(
            m,
            after = keys_q.wrapping_sub(*rank_q),
            "keys after the wanted one"
        );
        let sampled = self.sampled_pivots(m, samples, slow, (*rank_q, after, *keys_q));
        reg!(m, passes_q: 4, reset = 0, "passes with sampled pivots");
        let sampled_passes = m.lit(Self::SAMPLED_PASSES, 4);
        net!(m, by_bits = passes_q.equals(sampled_passes));
        let more = passes_q.wrapping_add(m.lit(1, 4));
        let counts_on = *decide_q & !by_bits;
        passes_q.next_when(begins | counts_on, begins.select(m.lit(0, 4), more));
        let bit_pivot = self.bit_pivot(m, begins, *decide_q & by_bits, pass.below);
        let tail_key = tail.slice(0, width);

        m.section("candidates in the row register: the lowest lane is the next pivot");
        let lowest_over = self.lowest(m, "over", *over_q, &row);
        let lowest_under = self.lowest(m, "under", *under_q, &row);
        let step_pivot = local_above.select(lowest_over, lowest_under);
        let first_low = u_first.output("low");
        let first_high = u_first.output("high");
        let pivots = [
            ("low", low_q, sampled.0, first_low),
            ("high", high_q, sampled.1, first_high),
        ];
        for (name, pivot, sampled, first) in pivots {
            let of_pass = fits.select(tail_key, by_bits.select(bit_pivot, sampled));
            let of_pass = m.net(&format!("{name}_of_pass"), of_pass, "");
            // The step's comes last.
            let next = local_step.select(step_pivot, begins.select(first, of_pass));
            pivot.next_when(begins | *begin_q | local_step, next);
        }
        local_q.next_when(*begin_q | begins, *begin_q & fits);
        let step_rank = under_count.wrapping_sub(*local_after_q);
        let step_after = over_count.wrapping_sub(*local_rank_q);
        let first_rank = rank_q.resize(local_bits);
        let first_after = after.resize(local_bits);
        local_rank_q.next_when(
            *begin_q | (local_step & local_below),
            begin_q.select(first_rank, step_rank),
        );
        local_after_q.next_when(
            *begin_q | (local_step & !local_below),
            begin_q.select(first_after, step_after),
        );

        m.section("the next row");
        let thermometer = (0..lanes).map(|k| tail_count.gt(m.lit(k as u64, local_bits)));
        let tail_live = m.pack(&thermometer.collect::<Vec<_>>());
        net!(m, tail_live = tail_live);
        // The other verdict, to share the load; where neither holds the key is found.
        let step_live = local_below.select(*under_q, *over_q);
        let all = m.pack(&vec![m.lit(1, 1); lanes]);
        let (fill_row, fill_live) = (u_fill.output("row_data"), u_fill.output("row_live"));
        let row_next = begin_q.select(tail, fetched_q.select(fetched_row, fill_row));
        row_q.next_when(*begin_q | *fetched_q | fill_valid, row_next);
        let of_memory = fetched_q.select(all, fill_live);
        let of_pass = begin_q.select(tail_live, of_memory);
        let takes = *begin_q | *fetched_q | fill_valid | local_step;
        live_q.next_when(takes, local_step.select(step_live, of_pass));
        let goes_on = local_step & !local_found;
        row_valid_q.next(*begin_q | *fetched_q | fill_valid | goes_on);
        let memory_last = fetched_q.select(*fetched_last_q, fill_last);
        row_last_q.next(begin_q.select(fits, memory_last));

        m.section("what is known, and the threshold");
        let largest = u64::MAX >> (64 - width);
        reg!(m, lower_q: width, reset = 0);
        reg!(m, upper_q: width, reset = largest);
        reg!(m, found_rank_q: bits, "rank of the key found");
        reg!(m, found_over_q: bits, "keys above it");
        net!(m, taken = *done_q & threshold.ready);
        reg!(m, decided_q = decided, reset = 0);
        reg!(m, was_above_q = decide_q.select(pass.above, local_above));
        reg!(m, was_below_q = decide_q.select(pass.below, local_below));
        reg!(m, last_low_q = *low_q, when = decided);
        reg!(m, last_high_q = *high_q, when = decided);
        let (zero, most) = (m.lit(0, width), m.lit(largest, width));
        let learnt_lower = was_above_q.select(*last_high_q, *last_low_q);
        let learnt_upper = was_below_q.select(*last_low_q, *last_high_q);
        net!(m, learn = *decided_q & !taken);
        lower_q.next_when(
            taken | (learn & !*was_below_q),
            taken.select(zero, learnt_lower),
        );
        upper_q.next_when(
            taken | (learn & !*was_above_q),
            taken.select(most, learnt_upper),
        );
        let no_limit = keeps_all_q.repeat(bits);
        let found_rank = decide_q.select(*rank_q, local_rank_q.resize(bits));
        let found_over = decide_q.select(totals[0], over_count.resize(bits));
        let not_trivial = (!trivial_end).repeat(bits);
        found_rank_q.next_when(
            decided | trivial_end,
            trivial_end.select(no_limit, found_rank),
        );
        found_over_q.next_when(decided | trivial_end, found_over & not_trivial);
        let keep_equal = found_rank_q.wrapping_sub(*found_over_q);
        done_q.next_when(found | trivial_end | taken, !taken);
        busy_q.next_when(begins | found, begins);
        lower_out.drive(lower_q);
        upper_out.drive(upper_q);
        reg!(m, trivial_done_q = trivial_end, when = found | trivial_end);
        reg!(m, all_done_q = *keeps_all_q, when = trivial_end);
        let trivial_kth = all_done_q.select(zero, most);
        let kth = trivial_done_q.select(trivial_kth, *last_low_q);
        threshold.drive(done_q, &[("kth", kth), ("keep_equal", keep_equal)]);
    }
}

impl QuickSelect {
    /// How many lanes of the row compared are in a mask.
    fn count<'m>(&self, m: &'m Builder, name: &str, mask: Sig<'m>) -> Sig<'m> {
        let popcount = Popcount {
            width: self.lanes,
            levels_per_stage: None,
        };
        let u = m.instance(&format!("u_{name}_count"), &popcount);
        u.input("word", mask);
        m.net(&format!("{name}_count"), u.output("count"), "")
    }

    /// Bit i: more than i lanes of the row compared are in a mask, a cycle after it.
    fn sorted<'m>(&self, m: &'m Builder, name: &str, mask: Sig<'m>) -> Sig<'m> {
        let sorter = BitSorter { lanes: self.lanes };
        let u = m.instance(&format!("u_{name}_sorter"), &sorter);
        u.input("bits", mask);
        m.net(&format!("more_{name}"), u.output("sorted"), "in unary")
    }

    /// The part with the rank-th largest key, from the numbers of keys above both pivots, below both, and not below.
    fn verdict<'m>(
        &self,
        m: &'m Builder,
        [over, under, not_under]: [Sig<'m>; 3],
        rank: Sig<'m>,
    ) -> Verdict<'m> {
        net!(m, pass_above = rank.le(over));
        net!(m, pass_below = rank.gt(not_under));
        let rank_between = rank.wrapping_sub(over);
        let rank_below = rank.wrapping_sub(not_under);
        net!(m, between = not_under.wrapping_sub(over));
        let chosen =
            |above, below, between| pass_above.select(above, pass_below.select(below, between));
        let larger = |keys| self.more_than_a_row(m, keys);
        Verdict {
            above: pass_above,
            below: pass_below,
            keys: chosen(over, under, between),
            // Of each part before one is chosen, because the first fetch waits for it.
            larger: chosen(larger(over), larger(under), larger(between)),
            rank: chosen(rank, rank_below, rank_between),
        }
    }

    fn more_than_a_row<'m>(&self, m: &'m Builder, keys: Sig<'m>) -> Sig<'m> {
        let (bits, lane_bits) = (keys.width(), log2_exact(self.lanes));
        match bits > lane_bits {
            true => {
                keys.shift_right(lane_bits).any() & keys.differs(m.lit(self.lanes as u64, bits))
            }
            false => m.lit(0, 1),
        }
    }

    /// Two of three samples of the part that goes on, lower and upper: the two larger where the rank is among the top
    /// 3/16 of the keys, the two smaller where it is among the last 3/16, else the smallest and the largest; the middle one
    /// alone after a pass that has dropped less than half.
    fn sampled_pivots<'m>(
        &self,
        m: &'m Builder,
        samples: [Sig<'m>; 3],
        slow: Sig<'m>,
        (rank, after, keys): (Sig<'m>, Sig<'m>, Sig<'m>),
    ) -> (Sig<'m>, Sig<'m>) {
        let [smallest, median, largest] = samples;
        let bits = keys.width() + 4;
        let wide = |word: Sig<'m>| word.extend(bits);
        let limit = wide(keys)
            .shift_left(1)
            .resize(bits)
            .wrapping_add(wide(keys));
        net!(m, limit = limit, "3/16 of the keys, times 16");
        let times_16 = |word: Sig<'m>| m.cat(&[word, m.lit(0, 4)]);
        let near_top = times_16(rank).le(limit);
        let near_end = times_16(after).lt(limit);
        net!(m, one_low = near_top | slow);
        net!(m, one_high = near_end | slow);
        (
            one_low.select(median, smallest),
            one_high.select(median, largest),
        )
    }

    /// Pivots from the range of values: the bits of the wanted key so far, and the next one set.
    fn bit_pivot<'m>(
        &self,
        m: &'m Builder,
        begins: Sig<'m>,
        step: Sig<'m>,
        below: Sig<'m>,
    ) -> Sig<'m> {
        let width = self.width;
        reg!(m, prefix_q: width, "the wanted key's bits so far");
        reg!(m, bit_q: width, "its next bit, one-hot");
        let top = m.lit(1 << (width - 1), width);
        let none = m.lit(0, width);
        let next_bit = match width {
            1 => none,
            _ => bit_q.shift_right(1).extend(width),
        };
        bit_q.next_when(begins | step, begins.select(top, next_bit));
        net!(m, with_bit = *prefix_q | *bit_q);
        let kept = step & !below;
        prefix_q.next_when(begins | kept, begins.select(none, with_bit));
        with_bit
    }

    /// The key in the lowest lane of a mask.
    fn lowest<'m>(&self, m: &'m Builder, name: &str, mask: Sig<'m>, row: &[Sig<'m>]) -> Sig<'m> {
        let keys = row.iter().enumerate().map(|(k, key)| {
            let first = match k {
                0 => mask.bit(0),
                _ => mask.bit(k) & !mask.slice(0, k).any(),
            };
            *key & first.repeat(self.width)
        });
        let key = keys.reduce(|a, b| a | b).expect("there are lanes");
        m.net(&format!("lowest_{name}"), key, "")
    }
}
