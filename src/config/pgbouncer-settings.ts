/**
 * Settings that PgBouncer has and this version does not: whoever brings a PgBouncer configuration is told
 * so, instead of being shown the nearest name that happens to be spelled alike. A setting that is built
 * leaves this list. Called by read-section.ts.
 * Source: PgBouncer's configuration reference, sections [pgbouncer], [databases] and [users].
 */
export const pgbouncerSettingsNotHere: ReadonlySet<string> = new Set(
  `admin_users application_name application_name_add_host auth_ldap_options autodb_idle_timeout
  cancel_wait_timeout client_encoding client_idle_timeout client_tls_dheparams client_tls_ecdhcurve conffile
  connect_query datestyle disable_pqexec dns_max_ttl dns_nxdomain_ttl dns_zone_check_period
  idle_transaction_timeout job_name load_balance_hosts log_connections log_disconnections log_pooler_errors
  log_stats logfile login_notify_message max_db_client_connections max_db_connections max_packet_size
  max_user_client_connections max_user_connections min_pool_size peer_id pkt_buf pool_idle_timeout
  query_timeout query_wait_notify reserve_pool reserve_pool_size reserve_pool_timeout resolv_conf
  sbuf_loopcnt scram_iterations server_check_delay server_check_query server_fast_close
  server_reset_query_always server_round_robin service_name so_reuseport stats_period stats_users
  suspend_timeout syslog syslog_facility syslog_ident tcp_defer_accept tcp_keepalive tcp_keepcnt
  tcp_keepidle tcp_keepintvl tcp_socket_buffer tcp_user_timeout timezone track_extra_parameters
  transaction_timeout verbose`.split(/\s+/),
)
