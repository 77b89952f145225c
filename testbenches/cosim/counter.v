// Counts the cycles with count_i high.
module counter (
  input wire clk_i,
  input wire rst_ni,
  input wire count_i,
  output wire [11:0] count_o
);
  reg [11:0] count_q;
  always @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) count_q <= 12'd0;
    else if (count_i) count_q <= count_q + 12'd1;
  end
  assign count_o = count_q;
endmodule
