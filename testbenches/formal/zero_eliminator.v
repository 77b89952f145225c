// A zero eliminator packs the kept lanes of every word, in order, and passes every word on once, in order.
//
// Lane values and keep flags are free, so every choice of kept lanes is covered; the reference holds as many words as the
// cell does.
module check (
  input wire clk_i,
  input wire offer_i,
  input wire [2:0] keep_i,
  input wire [2:0] lanes_i,  // three lanes of one bit: the cell never looks at a lane's value
  input wire ready_i
);

  reg running = 1'b0;
  always @(posedge clk_i) running <= 1'b1;

  reg waiting = 1'b0;
  reg [2:0] keep_held = 3'd0;
  reg [2:0] lanes_held = 3'd0;
  wire in_valid = running & (offer_i | waiting);
  wire [2:0] keep = waiting ? keep_held : keep_i;
  wire [2:0] lanes = waiting ? lanes_held : lanes_i;
  wire in_ready;
  wire accept = in_valid & in_ready;
  always @(posedge clk_i) begin
    waiting <= in_valid & !in_ready;
    keep_held <= keep;
    lanes_held <= lanes;
  end

  wire out_valid;
  wire [2:0] out_data;
  wire [1:0] out_count;
  @DUT@ dut (
    .clk_i       (clk_i),
    .rst_ni      (running),
    .in_valid_i  (in_valid),
    .in_ready_o  (in_ready),
    .in_data_i   (lanes),
    .in_keep_i   (keep),
    .out_valid_o (out_valid),
    .out_ready_i (ready_i),
    .out_data_o  (out_data),
    .out_count_o (out_count)
  );
  wire deliver = running & out_valid & ready_i;

  // ---- the same by cases ----
  wire [1:0] count = keep[0] + keep[1] + keep[2];
  wire first = keep[0] ? lanes[0] : keep[1] ? lanes[1] : lanes[2];
  wire second = (keep[0] & keep[1]) ? lanes[1] : lanes[2];
  wire [2:0] packed = {(count > 2) & lanes[2], (count > 1) & second, (count > 0) & first};

  // ---- a queue of two expected words, the oldest in `head` ----
  reg [1:0] held = 2'd0;
  reg [4:0] head = 5'd0;
  reg [4:0] tail = 5'd0;
  wire [1:0] left = held - deliver;
  wire [4:0] moved = deliver ? tail : head;
  reg [1:0] silent = 2'd0;
  reg stalled = 1'b0;
  always @(posedge clk_i) begin
    held <= left + accept;
    head <= (accept & (left == 2'd0)) ? {count, packed} : moved;
    if (accept & (left != 2'd0)) tail <= {count, packed};
    silent <= ((held != 2'd0) & !out_valid) ? silent + 1'b1 : 2'd0;
    stalled <= running & out_valid & !ready_i;
  end

  wire wrong_word = out_valid & ({out_count, out_data} != head);
  wire from_nothing = out_valid & (held == 2'd0);
  wire overfull = held == 2'd3;
  wire late = silent > 2'd1;
  wire withdrawn = stalled & !out_valid;
  wire closed = (held == 2'd0) & !in_ready;
  always @(*) begin
    if (running) begin
      assert (!wrong_word & !from_nothing & !overfull & !late & !withdrawn & !closed);
    end
  end

endmodule
