// A lane unpacker makes groups of the lines' lanes, every lane once, in order; behind a row's last group the rest of its
// line is dropped, and offers stand.
//
// Groups have 4, 2 or 1 lanes by their row's level. Lane values, levels and, in every cycle, whether the offered group is
// the row's last are free. The reference collects the lanes of all lines offered and tells in every cycle what the cell
// must offer and whether it must take the line.
module check #(
  parameter LANES = 2  // of a line: 1, 2 or 4
) (
  input wire clk_i,
  input wire offer_i,
  input wire [LANES-1:0] lanes_i,  // lanes of one bit: the cell never looks at a lane's value
  input wire [1:0] level_i,
  input wire finish_i,
  input wire ready_i
);

  reg running = 1'b0;
  always @(posedge clk_i) running <= 1'b1;

  // ---- the sender keeps the rules: an offered line stays, a row has one level ----
  reg waiting = 1'b0;
  reg in_row = 1'b0;
  reg [LANES-1:0] lanes_held = 0;
  reg [1:0] level_held = 2'd0;
  wire in_valid = running & (offer_i | waiting);
  wire [LANES-1:0] lanes = waiting ? lanes_held : lanes_i;
  wire [1:0] level = (waiting | in_row) ? level_held : (level_i == 2'd3) ? 2'd0 : level_i;
  wire in_ready;
  wire accept = in_valid & in_ready;

  wire out_valid;
  wire [3:0] out_data;
  @DUT@ dut (
    .clk_i       (clk_i),
    .rst_ni      (running),
    .in_valid_i  (in_valid),
    .in_ready_o  (in_ready),
    .in_data_i   (lanes),
    .level_i     (level),
    .finish_i    (finish_i),
    .out_valid_o (out_valid),
    .out_ready_i (ready_i),
    .out_data_o  (out_data)
  );
  wire deliver = running & out_valid & ready_i;

  always @(posedge clk_i) begin
    waiting <= in_valid & !in_ready;
    in_row <= deliver ? !finish_i : (in_row | in_valid);
    lanes_held <= lanes;
    level_held <= level;
  end

  // ---- lanes offered and not delivered, the oldest in bit 0 ----
  reg [2:0] count = 3'd0;
  reg [3:0] kept = 4'd0;
  wire arrives = in_valid & !waiting;
  wire [2:0] group = 3'd4 >> level;
  wire [2:0] there = count + (arrives ? LANES : 0);
  wire [3:0] queue = kept | (arrives ? {4'd0, lanes} << count : 4'd0);
  wire [2:0] left = !deliver ? there : finish_i ? 3'd0 : there - group;
  always @(posedge clk_i) begin
    count <= left;
    kept <= (left == 3'd0) ? 4'd0 : deliver ? queue >> group : queue;
  end

  reg stalled = 1'b0;
  reg [3:0] stalled_data = 4'd0;
  always @(posedge clk_i) begin
    stalled <= running & out_valid & !ready_i;
    stalled_data <= out_data;
  end

  wire collects = there < group;
  wire wrong_group = out_valid & (out_data != (queue & ~(4'hf << group)));
  wire uneven = out_valid != (in_valid & !collects);  // from nothing, or held back
  wire wrong_step = in_valid & (in_ready != (collects | (deliver & (left == 3'd0))));  // a line lost or doubled
  wire withdrawn = stalled & (!out_valid | (out_data != stalled_data));
  always @(*) begin
    if (running) begin
      assert (!wrong_group & !uneven & !wrong_step & !withdrawn);
    end
  end

endmodule
