-- announce: an event that is about no run.
-- ARGV[3]: event (its name), about (the inside of a JSON object, or '')
-- Result: nothing

emit(args.event, string.format('"time":"%s"%s', iso(now), args.about ~= '' and ',' .. args.about or ''))
