// An arbiter passes every branch's words on, once, in the branch's order; its offers stand, and no branch waits for more
// than the others once each.
//
// The words of each branch are their own numbers modulo 4; as for a queue, the cell cannot tell words apart.
module check (
  input wire clk_i,
  input wire [2:0] offer_i,
  input wire ready_i
);

  reg running = 1'b0;
  always @(posedge clk_i) running <= 1'b1;

  reg [2:0] waiting = 3'd0;
  reg [5:0] sent = 6'd0;  // number of branch k's word in 2k+1:2k
  wire [2:0] in_valid = {3{running}} & (offer_i | waiting);
  wire [2:0] in_ready;
  wire [2:0] accept = in_valid & in_ready;
  always @(posedge clk_i) begin
    waiting <= in_valid & ~in_ready;
    if (accept[0]) sent[1:0] <= sent[1:0] + 1'b1;
    if (accept[1]) sent[3:2] <= sent[3:2] + 1'b1;
    if (accept[2]) sent[5:4] <= sent[5:4] + 1'b1;
  end

  wire out_valid;
  wire [1:0] out_data;
  wire [1:0] out_index;
  @DUT@ dut (
    .clk_i       (clk_i),
    .rst_ni      (running),
    .in0_valid_i (in_valid[0]),
    .in0_ready_o (in_ready[0]),
    .in0_data_i  (sent[1:0]),
    .in1_valid_i (in_valid[1]),
    .in1_ready_o (in_ready[1]),
    .in1_data_i  (sent[3:2]),
    .in2_valid_i (in_valid[2]),
    .in2_ready_o (in_ready[2]),
    .in2_data_i  (sent[5:4]),
    .out_valid_o (out_valid),
    .out_ready_i (ready_i),
    .out_data_o  (out_data),
    .out_index_o (out_index)
  );

  wire [2:0] served = out_valid ? (3'd1 << out_index) : 3'd0;
  wire [1:0] word = served[0] ? sent[1:0] : served[1] ? sent[3:2] : sent[5:4];

  reg stalled = 1'b0;
  reg [1:0] stalled_index = 2'd0;
  reg [1:0] passed0 = 2'd0;  // others served while branch 0 waits
  reg [1:0] passed1 = 2'd0;
  reg [1:0] passed2 = 2'd0;
  always @(posedge clk_i) begin
    stalled <= running & out_valid & !ready_i;
    stalled_index <= out_index;
    if (ready_i & out_valid) begin
      passed0 <= (in_valid[0] & !served[0]) ? passed0 + 1'b1 : 2'd0;
      passed1 <= (in_valid[1] & !served[1]) ? passed1 + 1'b1 : 2'd0;
      passed2 <= (in_valid[2] & !served[2]) ? passed2 + 1'b1 : 2'd0;
    end
  end

  wire from_nothing = out_valid & ((served & in_valid) == 3'd0);
  wire withheld = (|in_valid) & !out_valid;
  wire wrong_word = out_valid & (out_data != word);
  wire uneven = accept != (ready_i ? served : 3'd0);  // lost, doubled, or two at once
  wire withdrawn = stalled & (!out_valid | (out_index != stalled_index));
  wire unfair = (passed0 > 2'd2) | (passed1 > 2'd2) | (passed2 > 2'd2);
  always @(*) begin
    if (running) begin
      assert (!from_nothing & !withheld & !wrong_word & !uneven & !withdrawn & !unfair);
    end
  end

endmodule
