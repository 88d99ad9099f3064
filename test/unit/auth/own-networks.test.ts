import { beforeEach, expect, test, vi } from 'vitest'
import { ownNetworks } from '../../../src/auth/own-networks.ts'

const { networkInterfaces } = vi.hoisted(() => ({ networkInterfaces: vi.fn() }))
vi.mock('node:os', () => ({ networkInterfaces }))

beforeEach(() => void networkInterfaces.mockReset())

test('are those of all interfaces, whatever their family', () => {
  networkInterfaces.mockReturnValue({
    lo: [{ address: '127.0.0.1', netmask: '255.0.0.0' }],
    eth0: [{ address: 'fe80::1%eth0', netmask: 'ffff:ffff:ffff:ffff::' }],
    none: undefined,
  })
  expect(ownNetworks().map(({ address }) => address.bits)).toEqual([32, 128])
})

test('that the system cannot tell, as without a free file descriptor, refuse a login and end no process', () => {
  networkInterfaces.mockImplementation(() => {
    throw Object.assign(new Error('uv_interface_addresses returned EMFILE'), { code: 'ERR_SYSTEM_ERROR' })
  })
  expect(() => ownNetworks()).toThrow(
    expect.objectContaining({ name: 'PoolerError', sqlState: '57P03', cause: expect.anything() }),
  )
})
