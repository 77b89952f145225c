// A fork offers every word to every branch exactly once, and lets it go when all have taken it.
module check (
  input wire clk_i,
  input wire offer_i,
  input wire [2:0] ready_i
);

  reg running = 1'b0;
  always @(posedge clk_i) running <= 1'b1;

  reg waiting = 1'b0;
  wire in_valid = running & (offer_i | waiting);
  wire in_ready;
  always @(posedge clk_i) waiting <= in_valid & !in_ready;

  wire [2:0] out_valid;
  @DUT@ dut (
    .clk_i        (clk_i),
    .rst_ni       (running),
    .in_valid_i   (in_valid),
    .in_ready_o   (in_ready),
    .out0_valid_o (out_valid[0]),
    .out0_ready_i (ready_i[0]),
    .out1_valid_o (out_valid[1]),
    .out1_ready_i (ready_i[1]),
    .out2_valid_o (out_valid[2]),
    .out2_ready_i (ready_i[2])
  );

  // The branches that have taken the word at the input.
  reg [2:0] taken = 3'd0;
  reg [2:0] stalled = 3'd0;
  wire [2:0] take = out_valid & ready_i;
  wire leave = in_valid & in_ready;
  always @(posedge clk_i) begin
    if (running) begin
      taken <= leave ? 3'd0 : (taken | take);
      stalled <= out_valid & ~ready_i;
    end
  end

  wire doubled = |(take & taken);
  wire from_nothing = (|out_valid) & !in_valid;
  wire withheld = in_valid & ((out_valid | taken) != 3'b111);
  wire lost = leave & ((taken | take) != 3'b111);
  wire kept = in_valid & ((taken | take) == 3'b111) & !in_ready;
  wire withdrawn = |(stalled & ~out_valid);
  always @(*) begin
    if (running) begin
      assert (!doubled & !from_nothing & !withheld & !lost & !kept & !withdrawn);
    end
  end

endmodule
