// Eight multipliers and their adder tree: 5 cycles.
module element (
  input wire clk_i,
  input wire [95:0] a_i,
  input wire [95:0] b_i,
  output wire [26:0] sum_o
);
  genvar k;
  wire [191:0] product;
  generate
    for (k = 0; k < 8; k = k + 1) begin : g_product
      multiplier u_multiplier (
        .clk_i(clk_i),
        .a_i(a_i[k*12 +: 12]),
        .b_i(b_i[k*12 +: 12]),
        .product_o(product[k*24 +: 24])
      );
    end
  endgenerate
  wire [99:0] sum1;
  generate
    for (k = 0; k < 4; k = k + 1) begin : g_sum1
      adder #(.WIDTH(24)) u_adder (
        .clk_i(clk_i),
        .a_i(product[k*48 +: 24]),
        .b_i(product[k*48+24 +: 24]),
        .sum_o(sum1[k*25 +: 25])
      );
    end
  endgenerate
  wire [51:0] sum2;
  generate
    for (k = 0; k < 2; k = k + 1) begin : g_sum2
      adder #(.WIDTH(25)) u_adder (
        .clk_i(clk_i),
        .a_i(sum1[k*50 +: 25]),
        .b_i(sum1[k*50+25 +: 25]),
        .sum_o(sum2[k*26 +: 26])
      );
    end
  endgenerate
  generate
    for (k = 0; k < 1; k = k + 1) begin : g_sum3
      adder #(.WIDTH(26)) u_adder (
        .clk_i(clk_i),
        .a_i(sum2[k*52 +: 26]),
        .b_i(sum2[k*52+26 +: 26]),
        .sum_o(sum_o[k*27 +: 27])
      );
    end
  endgenerate
endmodule
