// One register of every storage class, and none of them is reset.
module widths (
  input wire clk_i,
  input wire rst_ni,
  input wire [7:0] byte_i,
  input wire [8:0] half_i,
  input wire [16:0] word_i,
  input wire [32:0] double_i,
  input wire [63:0] full_i,
  input wire [64:0] wide_i,
  output reg [7:0] byte_o,
  output reg [8:0] half_o,
  output reg [16:0] word_o,
  output reg [32:0] double_o,
  output reg [63:0] full_o,
  output reg [64:0] wide_o,
  output reg seen_o
);
  always @(posedge clk_i) begin
    byte_o <= byte_i;
    half_o <= half_i;
    word_o <= word_i;
    double_o <= double_i;
    full_o <= full_i;
    wide_o <= wide_i;
  end
  always @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) seen_o <= 1'b0;
    else seen_o <= 1'b1;
  end
endmodule
