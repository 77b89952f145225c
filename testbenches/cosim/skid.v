// Registers a stream both ways: an output place, and a spare one for the word that arrives while the output stalls.
// Field data has three lanes of 12 bits.
module skid (
  input wire clk_i,
  input wire rst_ni,
  input wire in_valid_i,
  output wire in_ready_o,
  input wire [4:0] in_id_i,
  input wire [35:0] in_data_i,
  input wire in_last_i,
  output wire out_valid_o,
  input wire out_ready_i,
  output wire [4:0] out_id_o,
  output wire [35:0] out_data_o,
  output wire out_last_o
);
  reg full_q, spare_full_q;
  reg [41:0] word_q, spare_q;
  wire [41:0] word = {in_last_i, in_id_i, in_data_i};
  wire take = in_valid_i & in_ready_o;
  wire room = out_ready_i | !full_q;
  always @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      full_q <= 1'b0;
      spare_full_q <= 1'b0;
    end else if (room) begin
      full_q <= take | spare_full_q;
      spare_full_q <= 1'b0;
    end else begin
      spare_full_q <= spare_full_q | take;
    end
  end
  always @(posedge clk_i) begin
    if (take) spare_q <= word;
    if (room) word_q <= spare_full_q ? spare_q : word;
  end
  assign in_ready_o = !spare_full_q;
  assign out_valid_o = full_q;
  assign {out_last_o, out_id_o, out_data_o} = word_q;
endmodule
