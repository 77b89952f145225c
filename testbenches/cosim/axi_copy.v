// Copies 64 pairs of beats from byte address 0 to 'h8000, pair by pair: a small master that keeps every rule of the
// memory ports.
module axi_copy (
  input  wire         clk_i,
  input  wire         rst_ni,
  output wire         mem_ar_valid_o,
  input  wire         mem_ar_ready_i,
  output wire [3:0]   mem_ar_id_o,
  output wire [19:0]  mem_ar_addr_o,
  output wire [7:0]   mem_ar_len_o,
  output wire [2:0]   mem_ar_size_o,
  output wire [1:0]   mem_ar_burst_o,
  input  wire         mem_r_valid_i,
  output wire         mem_r_ready_o,
  input  wire [3:0]   mem_r_id_i,
  input  wire [255:0] mem_r_data_i,
  input  wire [1:0]   mem_r_resp_i,
  input  wire         mem_r_last_i,
  output wire         mem_aw_valid_o,
  input  wire         mem_aw_ready_i,
  output wire [3:0]   mem_aw_id_o,
  output wire [19:0]  mem_aw_addr_o,
  output wire [7:0]   mem_aw_len_o,
  output wire [2:0]   mem_aw_size_o,
  output wire [1:0]   mem_aw_burst_o,
  output wire         mem_w_valid_o,
  input  wire         mem_w_ready_i,
  output wire [255:0] mem_w_data_o,
  output wire [31:0]  mem_w_strb_o,
  output wire         mem_w_last_o,
  input  wire         mem_b_valid_i,
  output wire         mem_b_ready_o,
  input  wire [3:0]   mem_b_id_i,
  input  wire [1:0]   mem_b_resp_i,
  output wire         done_o,
  output wire         failed_o
);
  localparam ASK = 3'd0, READ = 3'd1, TELL = 3'd2, WRITE = 3'd3, WAIT = 3'd4, DONE = 3'd5;
  reg [2:0]   state_q;
  reg [7:0]   pair_q;
  reg         beat_q;
  reg         failed_q;
  reg [255:0] low_q, high_q;

  assign mem_ar_valid_o = state_q == ASK;
  assign mem_ar_id_o = pair_q[3:0];
  assign mem_ar_addr_o = {6'd0, pair_q, 6'd0};
  assign mem_ar_len_o = 8'd1;
  assign mem_ar_size_o = 3'd5;
  assign mem_ar_burst_o = 2'd1;
  assign mem_r_ready_o = state_q == READ;
  assign mem_aw_valid_o = state_q == TELL;
  assign mem_aw_id_o = ~pair_q[3:0];
  assign mem_aw_addr_o = {6'd2, pair_q, 6'd0};
  assign mem_aw_len_o = 8'd1;
  assign mem_aw_size_o = 3'd5;
  assign mem_aw_burst_o = 2'd1;
  assign mem_w_valid_o = state_q == WRITE;
  assign mem_w_data_o = beat_q ? high_q : low_q;
  assign mem_w_strb_o = 32'hffffffff;
  assign mem_w_last_o = beat_q;
  assign mem_b_ready_o = state_q == WAIT;
  assign done_o = state_q == DONE;
  assign failed_o = failed_q;

  always @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q <= DONE;
      pair_q <= 8'd0;
      beat_q <= 1'b0;
      failed_q <= 1'b0;
    end else begin
      if (mem_r_valid_i & mem_r_ready_o & (mem_r_resp_i != 2'd0 | mem_r_id_i != mem_ar_id_o)) failed_q <= 1'b1;
      if (mem_b_valid_i & mem_b_ready_o & (mem_b_resp_i != 2'd0 | mem_b_id_i != mem_aw_id_o)) failed_q <= 1'b1;
      case (state_q)
        ASK: if (mem_ar_ready_i) state_q <= READ;
        READ: if (mem_r_valid_i) begin
          beat_q <= !mem_r_last_i;
          if (mem_r_last_i) state_q <= TELL;
        end
        TELL: if (mem_aw_ready_i) state_q <= WRITE;
        WRITE: if (mem_w_ready_i) begin
          beat_q <= !beat_q;
          if (beat_q) state_q <= WAIT;
        end
        WAIT: if (mem_b_valid_i) begin
          pair_q <= pair_q + 8'd1;
          state_q <= pair_q + 8'd1 == 8'd64 ? DONE : ASK;
        end
        default: if (pair_q == 8'd0) state_q <= ASK;
      endcase
    end
  end

  always @(posedge clk_i) begin
    if (mem_r_valid_i & mem_r_ready_o) begin
      if (beat_q) high_q <= mem_r_data_i;
      else low_q <= mem_r_data_i;
    end
  end
endmodule
