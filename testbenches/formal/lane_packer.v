// A lane packer makes lines of the groups' lanes, every lane once, in order; a row's last line is filled up with zeros and
// marked, and offers stand.
//
// Groups have 4, 2 or 1 lanes by their row's level. Lane values, levels, lengths of rows and what stands above a group's
// lanes are free. The reference is a queue of lanes that takes a group when it is first offered: the cell may send lines
// of a group that it has not used up.
module check #(
  parameter LANES = 2  // of a line: 1, 2 or 4
) (
  input wire clk_i,
  input wire offer_i,
  input wire [3:0] lanes_i,  // four lanes of one bit: the cell never looks at a lane's value
  input wire [1:0] level_i,
  input wire last_i,
  input wire ready_i
);

  reg running = 1'b0;
  always @(posedge clk_i) running <= 1'b1;

  // ---- the sender keeps the rules: an offered group stays, a row has one level ----
  reg waiting = 1'b0;
  reg in_row = 1'b0;
  reg [3:0] lanes_held = 4'd0;
  reg [1:0] level_held = 2'd0;
  reg last_held = 1'b0;
  wire in_valid = running & (offer_i | waiting);
  wire [3:0] lanes = waiting ? lanes_held : lanes_i;
  wire [1:0] level = (waiting | in_row) ? level_held : (level_i == 2'd3) ? 2'd0 : level_i;
  wire last = waiting ? last_held : last_i;
  wire in_ready;
  wire accept = in_valid & in_ready;
  always @(posedge clk_i) begin
    waiting <= in_valid & !in_ready;
    if (accept) in_row <= !last;
    lanes_held <= lanes;
    level_held <= level;
    last_held <= last;
  end

  wire out_valid;
  wire [LANES-1:0] out_data;
  wire out_last;
  @DUT@ dut (
    .clk_i       (clk_i),
    .rst_ni      (running),
    .in_valid_i  (in_valid),
    .in_ready_o  (in_ready),
    .in_data_i   (lanes),
    .in_level_i  (level),
    .in_last_i   (last),
    .out_valid_o (out_valid),
    .out_ready_i (ready_i),
    .out_data_o  (out_data),
    .out_last_o  (out_last)
  );
  wire deliver = running & out_valid & ready_i;

  // ---- the lanes offered and not delivered, the oldest in bit 0; a row's end fills its line up ----
  reg [3:0] count = 4'd0;
  reg [7:0] queue = 8'd0;
  reg [7:0] ends = 8'd0;  // last lane of a row's last line
  wire [3:0] left = deliver ? count - LANES : count;
  wire [2:0] group = 3'd4 >> level;
  wire [3:0] filled = left + group;
  wire [3:0] whole = (filled + LANES - 1) & ~(LANES - 1);  // lines have 1, 2 or 4 lanes
  wire arrives = in_valid & !waiting;
  wire [7:0] arriving = arrives ? {4'd0, lanes & ~(4'hf << group)} : 8'd0;
  wire [7:0] ending = (arrives & last) ? 8'd1 << (whole - 4'd1) : 8'd0;
  always @(posedge clk_i) begin
    count <= !arrives ? left : last ? whole : filled;
    queue <= (deliver ? queue >> LANES : queue) | (arriving << left);
    ends <= (deliver ? ends >> LANES : ends) | ending;
  end

  reg stalled = 1'b0;
  always @(posedge clk_i) stalled <= running & out_valid & !ready_i;

  wire wrong_line = out_valid & ({out_last, out_data} != {ends[LANES-1], queue[LANES-1:0]});
  wire uneven = out_valid != (count >= LANES);  // from nothing, or later than it can be
  wire overfull = count > LANES + 4;  // the held line and an offered group
  wire withdrawn = stalled & !out_valid;
  // A group no larger than a line waits for nothing but the held line, a larger one until its last line is held.
  wire closed = (group <= LANES) & in_valid & !in_ready & ((count < LANES) | deliver);
  wire closed_behind = (group > LANES) & waiting & (count <= LANES);
  always @(*) begin
    if (running) begin
      assert (!wrong_line & !uneven & !overfull & !withdrawn & !closed & !closed_behind);
    end
  end

endmodule
