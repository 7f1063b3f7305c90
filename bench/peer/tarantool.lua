-- The instance of Tarantool that bookings are compared with: how it is set, its spaces, and the
-- procedures that bench/peer/tarantool.c calls.
--
--   HOLDFAST_LISTEN=127.0.0.1:PORT HOLDFAST_DIR=DIR [HOLDFAST_WAL_MODE=fsync] \
--     [HOLDFAST_FILL=BOOKINGS] tarantool tarantool.lua
--
-- Every change is on the disk before its call is answered (wal_mode = 'fsync'); calls that wait
-- share a write. net_msg_max is the one limit that has to be raised for deep pipelines: above it,
-- requests are not even read.
local fiber = require('fiber')

box.cfg{
    listen = os.getenv('HOLDFAST_LISTEN'),
    work_dir = os.getenv('HOLDFAST_DIR'),
    wal_mode = os.getenv('HOLDFAST_WAL_MODE') or 'fsync',
    memtx_memory = 2 * 1024 * 1024 * 1024,
    net_msg_max = 16384,
    readahead = 131072,
    log_level = 3,
}

box.once('booking', function()
    box.schema.space.create('inventory', {format = {
        {'id', 'unsigned'}, {'available', 'unsigned'}}})
    box.space.inventory:create_index('primary', {parts = {{1, 'unsigned'}}})
    box.schema.space.create('reservation', {format = {
        {'id', 'string'}, {'inventory', 'unsigned'}, {'customer', 'unsigned'}, {'qty', 'unsigned'},
        {'date', 'unsigned'}, {'state', 'string'}}})
    -- No ranges of ids are asked for, so a hash.
    box.space.reservation:create_index('primary', {type = 'hash', parts = {{1, 'string'}}})
    for _, name in ipairs({'book', 'make_stock', 'count'}) do
        box.schema.func.create(name, {setuid = true})
        box.schema.user.grant('guest', 'execute', 'function', name)
    end
end)

local inventory, reservation = box.space.inventory, box.space.reservation

-- No other fiber runs between the first read and the commit, which is where this one waits for the
-- disk: what it decided on cannot change meanwhile.
function book(id, inventory_id, customer, qty)
    local known = reservation:get(id)
    if known ~= nil then
        local same = known[2] == inventory_id and known[3] == customer and known[4] == qty
        return same and 2 or 3
    end
    local stock = inventory:get(inventory_id)
    if stock == nil then return 4 end
    if stock[2] < qty then return 0 end
    box.begin()
    inventory:update(inventory_id, {{'-', 2, qty}})
    reservation:insert({id, inventory_id, customer, qty, fiber.time64(), 'confirmed'})
    box.commit()
    return 1
end

function make_stock(first, number, available)
    box.begin()
    for id = first, first + number - 1 do
        inventory:insert({id, available})
    end
    box.commit()
end

function count(first, number)
    local available = 0
    for id = first, first + number - 1 do
        available = available + inventory:get(id)[2]
    end
    return available, reservation:len()
end

-- So many bookings of one inventory, for bench/recovery: each is a transaction of its own, and many
-- wait at once, so that they share writes.
local function fill(number)
    local pickle = require('pickle')
    local fibers, workers = {}, 200
    make_stock(1, 1, number)
    for first = 1, workers do
        fibers[first] = fiber.new(function()
            for i = first, number, workers do
                if book(pickle.pack('QQ', 0, i), 1, i % 1000000, 1) ~= 1 then os.exit(1) end
            end
        end)
        fibers[first]:set_joinable(true)
    end
    for _, one in ipairs(fibers) do one:join() end
end

io.stdout:write('ready\n')
io.stdout:flush()
if os.getenv('HOLDFAST_FILL') then
    fill(tonumber(os.getenv('HOLDFAST_FILL')))
    io.stdout:write('filled\n')
    io.stdout:flush()
end
