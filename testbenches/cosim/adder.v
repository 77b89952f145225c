// Signed, one bit wider than its terms, one stage.
module adder #(parameter WIDTH = 24) (
  input wire clk_i,
  input wire [WIDTH-1:0] a_i,
  input wire [WIDTH-1:0] b_i,
  output wire [WIDTH:0] sum_o
);
  reg [WIDTH:0] sum_q;
  always @(posedge clk_i) sum_q <= {a_i[WIDTH-1], a_i} + {b_i[WIDTH-1], b_i};
  assign sum_o = sum_q;
endmodule
