// Stops the simulation when it is bitten.
module watchdog (
  input wire clk_i,
  input wire rst_ni,
  input wire bite_i,
  output reg bitten_o
);
  always @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) bitten_o <= 1'b0;
    else begin
      bitten_o <= bite_i;
      if (bite_i) $error("the dog bites at level %0d", 42);
    end
  end
endmodule
