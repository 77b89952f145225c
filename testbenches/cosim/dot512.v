// Dot product of two vectors of 512 signed 12-bit values, 11 cycles, one per cycle.
module dot512 (
  input wire clk_i,
  input wire [6143:0] a_i,
  input wire [6143:0] b_i,
  output wire [32:0] sum_o
);
  genvar k;
  wire [1727:0] part;
  generate
    for (k = 0; k < 64; k = k + 1) begin : g_element
      element u_element (
        .clk_i(clk_i),
        .a_i(a_i[k*96 +: 96]),
        .b_i(b_i[k*96 +: 96]),
        .sum_o(part[k*27 +: 27])
      );
    end
  endgenerate
  wire [895:0] sum1;
  generate
    for (k = 0; k < 32; k = k + 1) begin : g_sum1
      adder #(.WIDTH(27)) u_adder (
        .clk_i(clk_i),
        .a_i(part[k*54 +: 27]),
        .b_i(part[k*54+27 +: 27]),
        .sum_o(sum1[k*28 +: 28])
      );
    end
  endgenerate
  wire [463:0] sum2;
  generate
    for (k = 0; k < 16; k = k + 1) begin : g_sum2
      adder #(.WIDTH(28)) u_adder (
        .clk_i(clk_i),
        .a_i(sum1[k*56 +: 28]),
        .b_i(sum1[k*56+28 +: 28]),
        .sum_o(sum2[k*29 +: 29])
      );
    end
  endgenerate
  wire [239:0] sum3;
  generate
    for (k = 0; k < 8; k = k + 1) begin : g_sum3
      adder #(.WIDTH(29)) u_adder (
        .clk_i(clk_i),
        .a_i(sum2[k*58 +: 29]),
        .b_i(sum2[k*58+29 +: 29]),
        .sum_o(sum3[k*30 +: 30])
      );
    end
  endgenerate
  wire [123:0] sum4;
  generate
    for (k = 0; k < 4; k = k + 1) begin : g_sum4
      adder #(.WIDTH(30)) u_adder (
        .clk_i(clk_i),
        .a_i(sum3[k*60 +: 30]),
        .b_i(sum3[k*60+30 +: 30]),
        .sum_o(sum4[k*31 +: 31])
      );
    end
  endgenerate
  wire [63:0] sum5;
  generate
    for (k = 0; k < 2; k = k + 1) begin : g_sum5
      adder #(.WIDTH(31)) u_adder (
        .clk_i(clk_i),
        .a_i(sum4[k*62 +: 31]),
        .b_i(sum4[k*62+31 +: 31]),
        .sum_o(sum5[k*32 +: 32])
      );
    end
  endgenerate
  generate
    for (k = 0; k < 1; k = k + 1) begin : g_sum6
      adder #(.WIDTH(32)) u_adder (
        .clk_i(clk_i),
        .a_i(sum5[k*64 +: 32]),
        .b_i(sum5[k*64+32 +: 32]),
        .sum_o(sum_o[k*33 +: 33])
      );
    end
  endgenerate
endmodule
