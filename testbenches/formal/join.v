// A join takes one word of every branch together, when all offer one.
module check (
  input wire clk_i,
  input wire [2:0] offer_i,
  input wire ready_i
);

  reg running = 1'b0;
  always @(posedge clk_i) running <= 1'b1;

  reg [2:0] waiting = 3'd0;
  wire [2:0] in_valid = {3{running}} & (offer_i | waiting);
  wire [2:0] in_ready;
  always @(posedge clk_i) waiting <= in_valid & ~in_ready;

  wire out_valid;
  @DUT@ dut (
    .in0_valid_i (in_valid[0]),
    .in0_ready_o (in_ready[0]),
    .in1_valid_i (in_valid[1]),
    .in1_ready_o (in_ready[1]),
    .in2_valid_i (in_valid[2]),
    .in2_ready_o (in_ready[2]),
    .out_valid_o (out_valid),
    .out_ready_i (ready_i)
  );

  reg stalled = 1'b0;
  always @(posedge clk_i) stalled <= out_valid & !ready_i;

  wire early = out_valid & (in_valid != 3'b111);
  wire withheld = (in_valid == 3'b111) & !out_valid;
  wire uneven = (in_valid & in_ready) != {3{out_valid & ready_i}};
  wire withdrawn = stalled & !out_valid;
  always @(*) begin
    if (running) begin
      assert (!early & !withheld & !uneven & !withdrawn);
    end
  end

endmodule
