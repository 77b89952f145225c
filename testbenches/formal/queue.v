// A queue keeps every word, once, in order, and its output keeps its promises. With COUNT_BITS defined the cell has
// `count_o` of so many bits, which must be the words held.
//
// The words are their own numbers modulo 2^WIDTH. The cell cannot tell one word from another, so numbers that repeat only
// after more words than it can hold stand for any words: a lost, doubled or reordered word shows as a wrong number.
// Registers without a reset start with any value: what holds here holds whatever they held.
module check #(
  parameter WIDTH = 3,
  parameter CAPACITY = 2,
  parameter LATENCY = 1  // most cycles until a held word is offered
) (
  input wire clk_i,
  input wire offer_i,  // free: a word is offered in this cycle if none waits
  input wire ready_i   // free: the output is taken
);

  reg running = 1'b0;  // reset in the first cycle
  always @(posedge clk_i) running <= 1'b1;

  // ---- the sender keeps the rules: an offered word stays ----
  reg waiting = 1'b0;
  reg [WIDTH-1:0] sent = 0;
  wire in_valid = running & (offer_i | waiting);
  wire in_ready;
  wire accept = in_valid & in_ready;
  always @(posedge clk_i) begin
    waiting <= in_valid & !in_ready;
    if (accept) sent <= sent + 1'b1;
  end

  wire out_valid;
  wire [WIDTH-1:0] out_data;
`ifdef COUNT_BITS
  wire [`COUNT_BITS-1:0] count;
`endif
  @DUT@ dut (
    .clk_i       (clk_i),
    .rst_ni      (running),
    .in_valid_i  (in_valid),
    .in_ready_o  (in_ready),
    .in_data_i   (sent),
`ifdef COUNT_BITS
    .count_o     (count),
`endif
    .out_valid_o (out_valid),
    .out_ready_i (ready_i),
    .out_data_o  (out_data)
  );
  wire deliver = running & out_valid & ready_i;

  // ---- what must have happened ----
  reg [WIDTH-1:0] received = 0;
  reg [7:0] held = 0;
  reg [7:0] silent = 0;  // cycles in which a held word was not offered
  reg stalled = 1'b0;
  always @(posedge clk_i) begin
    if (deliver) received <= received + 1'b1;
    held <= held + accept - deliver;
    silent <= (held != 0 && !out_valid) ? silent + 1'b1 : 8'd0;
    stalled <= running & out_valid & !ready_i;
  end

  wire wrong_word = out_valid & (out_data != received);  // lost, doubled, reordered or undefined
  wire from_nothing = out_valid & (held == 0);
  wire overfull = held > CAPACITY;
  wire late = silent > LATENCY;
  wire withdrawn = stalled & !out_valid;  // a changed payload shows as a wrong word
  wire closed = (held == 0) & !in_ready;
`ifdef COUNT_BITS
  wire miscounted = count != held;
`else
  wire miscounted = 1'b0;
`endif
  always @(*) begin
    if (running) begin
      assert (!wrong_word & !from_nothing & !overfull & !late & !withdrawn & !closed & !miscounted);
    end
  end

endmodule
