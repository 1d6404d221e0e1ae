# sidekiq: the same jobs, one by one, in bulk, and drained by one process. Prints its rates as JSON.
require 'json'
require 'sidekiq'
require 'sidekiq/cli' # brings what the launcher needs
require 'sidekiq/launcher'

URL, JOBS, BYTES = ARGV[0], ARGV[1].to_i, ARGV[2].to_i
FEW = JOBS / 10
BULK = 1000
ALL = JOBS + FEW
# One Ruby process runs one thread at a time: more of them cost more than they bring.
THREADS = 10

# This version's words about the redis gem cost more than the jobs.
Redis.silence_deprecations = true
Redis.sadd_returns_boolean = false
Sidekiq.logger.level = Logger::WARN
Sidekiq.redis = { url: URL, size: THREADS + 5 }

class Nothing
  include Sidekiq::Worker
  LOCK = Mutex.new
  OVER = Thread::Queue.new
  @count = 0

  def self.one_more
    LOCK.synchronize { OVER << true if (@count += 1) == ALL }
  end

  def perform(_payload)
    self.class.one_more
  end
end

def seconds
  begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  yield
  Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun
end

payload = 'x' * BYTES
one_by_one = FEW / seconds { FEW.times { Nothing.perform_async(payload) } }
bulk = JOBS / seconds do
  (JOBS / BULK).times { Sidekiq::Client.push_bulk('class' => Nothing, 'args' => [[payload]] * BULK) }
end

options = Sidekiq.options.merge(queues: ['default'], concurrency: THREADS, timeout: 5)
options[:fetch] = Sidekiq::BasicFetch.new(options)
launcher = Sidekiq::Launcher.new(options)
drain = ALL / seconds { launcher.run; Nothing::OVER.pop }
puts JSON.generate(version: Sidekiq::VERSION, one_by_one: one_by_one, bulk: bulk, drain: drain)
$stdout.flush
exit! 0
