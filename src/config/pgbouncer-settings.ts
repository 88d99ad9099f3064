/**
 * Settings that PgBouncer has and this version does not: whoever brings a PgBouncer configuration is told
 * so, instead of being shown the nearest name that happens to be spelled alike. A setting that is built
 * leaves this list. Called by read-section.ts.
 * Source: PgBouncer's configuration reference, sections [pgbouncer], [databases] and [users].
 */
export const pgbouncerSettingsNotHere: ReadonlySet<string> = new Set(
  `application_name application_name_add_host auth_ldap_options autodb_idle_timeout
  client_encoding client_tls_dheparams client_tls_ecdhcurve conffile
  connect_query datestyle disable_pqexec dns_zone_check_period
  job_name login_notify_message max_packet_size
  peer_id pkt_buf pool_idle_timeout
  reserve_pool resolv_conf
  sbuf_loopcnt scram_iterations server_fast_close
  server_reset_query_always service_name so_reuseport syslog syslog_facility syslog_ident tcp_defer_accept tcp_keepalive tcp_keepcnt
  tcp_keepidle tcp_keepintvl tcp_socket_buffer tcp_user_timeout timezone track_extra_parameters`.split(/\s+/),
)
