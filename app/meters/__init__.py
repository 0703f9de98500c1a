"""The site's own meters, read by this service: HTTP, MQTT, Modbus, OCPP. See `meters.Meters`."""
