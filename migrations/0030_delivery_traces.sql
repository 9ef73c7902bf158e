-- The W3C trace context of the event that a delivery is about.
ALTER TABLE delivery ADD COLUMN traceparent text;
