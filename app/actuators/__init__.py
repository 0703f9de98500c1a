"""What is commanded at a site beside its charging stations: batteries and PV inverters. See `actuators.Actuators`."""
