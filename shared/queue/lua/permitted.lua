-- permitted: which of the commands that this queue needs the user may not use. Stands alone, without the prelude.
-- KEYS[1]: the prefix
-- Result: names as ACL SETUSER takes them.
-- A script that meets a command it may not use ends half way, and Redis keeps what it wrote: so this is asked before.

local key, channel = KEYS[1] .. ':permitted', KEYS[1] .. ':events'

local needed = {
  -- inside scripts
  { 'DEL', key }, { 'EXISTS', key }, { 'HDEL', key, 'f' }, { 'HEXISTS', key, 'f' }, { 'HGET', key, 'f' }, { 'HGETALL', key },
  { 'HINCRBY', key, 'f', '1' }, { 'HMGET', key, 'f' }, { 'HSET', key, 'f', 'v' }, { 'HSETNX', key, 'f', 'v' }, { 'HVALS', key },
  { 'INCR', key }, { 'LLEN', key }, { 'LPOP', key }, { 'LPUSH', key, 'v' }, { 'PERSIST', key }, { 'PEXPIRE', key, '1' },
  { 'PTTL', key }, { 'PUBLISH', channel, 'v' }, { 'RPUSH', key, 'v' }, { 'SADD', key, 'v' }, { 'TIME' }, { 'UNLINK', key },
  { 'XACK', key, 'g', '1-0' }, { 'XADD', key, '*', 'f', 'v' }, { 'XCLAIM', key, 'g', 'c', '0', '1-0' },
  { 'XDEL', key, '1-0' }, { 'XGROUP', 'CREATE', key, 'g', '0' }, { 'XGROUP', 'DELCONSUMER', key, 'g', 'c' },
  { 'XINFO', 'CONSUMERS', key, 'g' }, { 'XINFO', 'GROUPS', key }, { 'XLEN', key }, { 'XPENDING', key, 'g' },
  { 'XRANGE', key, '-', '+' }, { 'XTRIM', key, 'MINID', '1' },
  { 'ZADD', key, '1', 'v' }, { 'ZCARD', key }, { 'ZCOUNT', key, '0', '1' }, { 'ZRANGE', key, '0', '0' }, { 'ZRANGEBYSCORE', key, '0', '1' },
  { 'ZRANK', key, 'v' }, { 'ZREM', key, 'v' }, { 'ZREMRANGEBYSCORE', key, '0', '1' }, { 'ZREVRANGE', key, '0', '1' },
  { 'ZSCORE', key, 'v' },
  -- by themselves
  { 'EXEC' }, { 'GET', key }, { 'LRANGE', key, '0', '1' }, { 'MULTI' }, { 'PING' }, { 'SCRIPT', 'LOAD', 'return 1' },
  { 'SETNX', key, 'v' }, { 'SMEMBERS', key }, { 'SUBSCRIBE', channel }, { 'UNWATCH' },
  { 'XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', key, '>' },
}

local lacking = {}
for _, command in ipairs(needed) do
  if not redis.acl_check_cmd(unpack(command)) then
    local name = string.lower(command[1])
    if name == 'xgroup' or name == 'xinfo' or name == 'script' then name = name .. '|' .. string.lower(command[2]) end
    lacking[#lacking + 1] = name
  end
end
return lacking
