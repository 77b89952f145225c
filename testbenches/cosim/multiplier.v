// Signed 12 x 12, two stages.
module multiplier (
  input wire clk_i,
  input wire [11:0] a_i,
  input wire [11:0] b_i,
  output wire [23:0] product_o
);
  reg [11:0] a_q, b_q;
  reg [23:0] product_q;
  always @(posedge clk_i) begin
    a_q <= a_i;
    b_q <= b_i;
    product_q <= $signed({{12{a_q[11]}}, a_q}) * $signed({{12{b_q[11]}}, b_q});
  end
  assign product_o = product_q;
endmodule
