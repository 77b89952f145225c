// 200 bits, inverted, without a register.
module wide_pass (
  input wire [199:0] data_i,
  output wire [199:0] data_o
);
  assign data_o = ~data_i;
endmodule
