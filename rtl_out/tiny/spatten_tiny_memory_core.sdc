# Timing constraints of spatten_tiny_memory_core, register to register.
#
# One clock. Inputs and outputs belong to registers of the same clock outside, so the whole period is theirs and the
# block's together: tighten the two delays to the budget of the surrounding design.
set clock_period 3.3
create_clock -name clk -period $clock_period [get_ports clk_i]

set data_inputs {}
foreach port [all_inputs] {
  set name [get_property $port full_name]
  if {$name ne "clk_i"} {
    lappend data_inputs $port
  }
}
set_input_delay 0 -clock clk $data_inputs
set_output_delay 0 -clock clk [all_outputs]

# The reset is asserted at any time and released in step with the clock by a synchroniser outside.
set_false_path -from [get_ports rst_ni]
